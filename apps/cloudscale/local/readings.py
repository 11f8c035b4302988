"""What the status display shows: one reading of the live figures and the ledger of a running pipeline."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec
from redis.exceptions import RedisError

from cloudscale.cache.connection import open_redis
from cloudscale.cache.keys import keys_of
from cloudscale.cache.records import UNNAMED
from cloudscale.ledger.migration import migrate
from cloudscale.telemetry import activity, figures

if TYPE_CHECKING:
    from cloudscale.pipeline import EventPipeline

_READ_SECONDS = 2.0
"""For a whole reading."""

_TOTALS = [kind + ending for kind in ("accepted", "duplicates", "dead") for ending in ("", UNNAMED)]


@dataclass(frozen=True, kw_only=True)
class Reading:
    """Rates are events a second since the last reading, the other counts are since the data directory was made."""

    accepted_per_second: float = 0.0
    persisted_per_second: float = 0.0
    p99_seconds: float | None = None
    """Of the answers since the last reading; None when there were none."""
    accepted: int = 0
    in_flight: int = 0
    """Accepted, and not yet stored, found to be a duplicate or dead-lettered."""
    duplicates: int = 0
    dead_letters: int = 0
    refused_per_second: float = 0.0
    concurrency_limit: int | None = None

    @property
    def persisted(self) -> int:
        """Events that have left the pipeline into the store."""
        # What is only reserved, before the broker's acknowledgement, is in flight already and not yet accepted.
        return max(0, self.accepted - self.in_flight - self.duplicates - self.dead_letters)


class Readings:
    """Takes readings of one pipeline from its Redis, as an async context manager that owns the connection."""

    def __init__(self, pipeline: EventPipeline, *, redis_url: str) -> None:
        self._keys = keys_of(pipeline)
        self._redis = open_redis(redis_url, connections=2)
        self._before: list[figures.Figures] | None = None
        self._is_migrated = False

    async def __aenter__(self) -> Readings:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._redis.aclose()

    async def take(self) -> Reading | None:
        """A new reading, or None while Redis does not answer."""
        keys = self._keys
        pipe = self._redis.pipeline(transaction=False)
        pipe.hgetall(keys.figures)
        pipe.hlen(keys.inflight)
        pipe.hmget(keys.totals, _TOTALS)
        try:
            async with asyncio.timeout(_READ_SECONDS):
                if not self._is_migrated:
                    await migrate(self._redis, keys)
                    self._is_migrated = True
                raw, in_flight, totals = await pipe.execute()
        except (RedisError, OSError, TimeoutError):
            return None
        try:
            now = figures.decode_all(raw.values())
        except msgspec.DecodeError:
            # A Redis of the user's own may hold figures of another version. The ledger's counts hold without them.
            now = []
        span = activity.between(self._before if self._before is not None else now, now)
        self._before = now
        accepted, duplicates, dead_letters = (
            sum(int(count or 0) for count in totals[start : start + 2]) for start in range(0, len(_TOTALS), 2)
        )
        seconds = span.seconds or 1.0
        return Reading(
            accepted_per_second=span.accepted / seconds,
            persisted_per_second=span.persisted / seconds,
            p99_seconds=span.ingestion_seconds.quantile(0.99),
            accepted=accepted,
            in_flight=in_flight,
            duplicates=duplicates,
            dead_letters=dead_letters,
            refused_per_second=(sum(span.rejections.values()) + sum(span.rate_limited.values())) / seconds,
            concurrency_limit=span.concurrency_limit,
        )


def describe(reading: Reading) -> dict[str, str]:
    """The figures by name, as people read them."""
    p99 = "-" if reading.p99_seconds is None else f"{reading.p99_seconds * 1000:.0f} ms"
    return {
        "in/s": f"{reading.accepted_per_second:,.0f}",
        "stored/s": f"{reading.persisted_per_second:,.0f}",
        "refused/s": f"{reading.refused_per_second:,.0f}",
        "p99": p99,
        "concurrency": "-" if reading.concurrency_limit is None else str(reading.concurrency_limit),
        **describe_totals(reading),
    }


def describe_totals(reading: Reading) -> dict[str, str]:
    """What has become of all events since the data directory was made."""
    return {
        "accepted": f"{reading.accepted:,}",
        "depth": f"{reading.in_flight:,}",
        "persisted": f"{reading.persisted:,}",
        "duplicates": f"{reading.duplicates:,}",
        "dead letters": f"{reading.dead_letters:,}",
    }
