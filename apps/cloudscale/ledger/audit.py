"""The record of who did what: replays and discards, and changes of tenants and keys, in a Redis stream and in the log.

It is written before the act is tried, so that no act goes unrecorded; its outcome follows as a second entry.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import msgspec
import structlog
from redis.exceptions import RedisError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from redis.asyncio import Redis

    from cloudscale.cache.keys import Keys

log = structlog.get_logger(__name__)

ENTRIES = 10_000
NAMED = 50
"""Sequence numbers in one entry."""

Act = Literal[
    "replay", "discard", "create tenant", "change tenant", "create key", "rotate key", "revoke key", "create device"
]

T = TypeVar("T")


class Entry(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One entry of the audit record."""

    at: str
    who: str
    act: str
    """An :data:`Act`, or one that another version knows."""
    what: str
    outcome: str


class Audit:
    """The audit record of one pipeline.

    Args:
        redis: where it is.
        keys: of the pipeline.
        logged: whether entries are logged as well, which a command that prints does not want.
    """

    def __init__(self, redis: Redis, keys: Keys, *, logged: bool = True) -> None:
        self._redis = redis
        self._logged = logged
        self._key = keys.audit

    async def record(self, *, who: str, act: Act, what: str, outcome: str) -> None:
        """Add an entry.

        Raises:
            redis.exceptions.RedisError: it is not recorded, so the act must not be done.
        """
        at = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        entry = Entry(at=at, who=who, act=act, what=what, outcome=outcome)
        if self._logged:
            log.info("acted", who=who, act=act, what=what, outcome=outcome)
        await self._redis.xadd(self._key, {"entry": msgspec.json.encode(entry)}, maxlen=ENTRIES, approximate=True)

    async def recorded(self, do: Callable[[], Awaitable[int]], *, who: str, act: Act, what: str) -> int:
        """Do something that is recorded; how many dead letters it was done with, as ``do`` answers.

        Raises:
            redis.exceptions.RedisError: it cannot be recorded, so it was not done.
        """
        return await self.around(do, who=who, act=act, what=what, outcome=lambda done: f"{done} done")

    async def around(
        self, do: Callable[[], Awaitable[T]], *, who: str, act: Act, what: str, outcome: Callable[[T], str]
    ) -> T:
        """Do something that is recorded; what ``do`` answers, of which ``outcome`` is what the record says.

        What has been done stays done, and its answer is given, when only the outcome cannot be recorded any more.

        Raises:
            redis.exceptions.RedisError: it cannot be recorded, so it was not done.
        """
        await self.record(who=who, act=act, what=what, outcome="asked for")
        try:
            done = await do()
        except Exception as error:
            await self._end(who=who, act=act, what=what, outcome=f"failed: {error}")
            raise
        await self._end(who=who, act=act, what=what, outcome=outcome(done))
        return done

    async def _end(self, *, who: str, act: Act, what: str, outcome: str) -> None:
        try:
            await self.record(who=who, act=act, what=what, outcome=outcome)
        except (RedisError, OSError, TimeoutError) as error:
            log.warning("the outcome is not in the audit record", who=who, act=act, what=what, error=str(error))

    async def newest(self, limit: int = 100) -> Sequence[Entry]:
        """The newest entries, the newest first."""
        entries: Any = await self._redis.xrevrange(self._key, count=limit)
        return [msgspec.json.decode(fields[b"entry"], type=Entry) for _, fields in entries]


def named(sequence_numbers: Sequence[int] | None) -> str:
    """Dead letters as the record names them; None stands for all."""
    if sequence_numbers is None:
        return "all dead letters"
    more = len(sequence_numbers) - NAMED
    return ", ".join(map(str, sequence_numbers[:NAMED])) + (f" and {more} more" if more > 0 else "")
