"""Reads the ledger: how many events were accepted and how they ended, and which are on their way."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec

from cloudscale.cache.keys import UNNAMED

if TYPE_CHECKING:
    from collections.abc import Mapping

    from redis.asyncio import Redis

    from cloudscale.cache.keys import Keys

_SCAN_AT_ONCE = 5000

Hour = tuple[str, str]
"""A tenant id and an hour of ``receivedAt`` as ``yyyy-MM-ddTHH``."""


class Acceptance(msgspec.Struct, frozen=True, rename="camel"):
    """One entry of the ledger's ``inflight`` hash."""

    tenant_id: str
    event_id: str
    token: str
    received_at: float
    """Epoch seconds."""
    acknowledged: bool

    @property
    def hour(self) -> Hour:
        """The tenant and hour that it counts for."""
        return self.tenant_id, datetime.fromtimestamp(self.received_at, UTC).strftime("%Y-%m-%dT%H")


class LedgerReading(msgspec.Struct, frozen=True):
    """The ledger at one moment."""

    accepted: dict[Hour, int]
    duplicates: dict[Hour, int]
    dead_letters: dict[Hour, int]
    in_flight: list[Acceptance]
    unnamed: dict[Hour, int] = {}
    """Those among the accepted that were accepted while Redis was away."""


async def read_ledger(redis: Redis, keys: Keys) -> LedgerReading:
    """Read the whole ledger: the counters at one moment, then what is in flight."""
    async with redis.pipeline(transaction=True) as together:
        for name in (keys.accepted, keys.duplicates, keys.dead_letters):
            together.hgetall(name)
        accepted, duplicates, dead_letters = await together.execute()
    in_flight = [
        parse_acceptance(_text(field), _text(value))
        async for field, value in redis.hscan_iter(keys.inflight, count=_SCAN_AT_ONCE)
    ]
    return LedgerReading(
        accepted=parse_counts(accepted),
        duplicates=parse_counts(duplicates),
        dead_letters=parse_counts(dead_letters),
        in_flight=in_flight,
        unnamed=parse_counts(
            {field: count for field, count in accepted.items() if _text(field).endswith(f"\n{UNNAMED}")}
        ),
    )


def restricted(ledger: LedgerReading, tenants: frozenset[str] | None) -> LedgerReading:
    """The part of the ledger that concerns ``tenants``; all of it for None."""
    if tenants is None:
        return ledger
    return LedgerReading(
        accepted={hour: count for hour, count in ledger.accepted.items() if hour[0] in tenants},
        duplicates={hour: count for hour, count in ledger.duplicates.items() if hour[0] in tenants},
        dead_letters={hour: count for hour, count in ledger.dead_letters.items() if hour[0] in tenants},
        in_flight=[each for each in ledger.in_flight if each.tenant_id in tenants],
        unnamed={hour: count for hour, count in ledger.unnamed.items() if hour[0] in tenants},
    )


def parse_counts(raw: Mapping[bytes | str, bytes | str]) -> dict[Hour, int]:
    """Counters by tenant and hour; a third part of a field's name, such as a dead letter's reason, is summed over."""
    counts: dict[Hour, int] = {}
    for field, count in raw.items():
        tenant_id, hour, *_ = _text(field).split("\n")
        counts[tenant_id, hour] = counts.get((tenant_id, hour), 0) + int(count)
    return counts


def parse_acceptance(field: str, value: str) -> Acceptance:
    """An entry of the ``inflight`` hash: ``p`` or ``c`` and the time of receipt in epoch milliseconds."""
    tenant_id, event_id, token = field.split("\n")
    return Acceptance(tenant_id, event_id, token, int(value[1:]) / 1000, value.startswith("c"))


def _text(raw: bytes | str) -> str:
    return raw.decode() if isinstance(raw, bytes) else raw
