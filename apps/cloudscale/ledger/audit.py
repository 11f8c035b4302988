"""The record of who did what: replays and discards, and changes of tenants and keys, in a Redis stream and in the log.

It is written before the act is tried, so that no act goes unrecorded; its outcome follows as a second entry. What takes
somebody a right is done all the same where the record cannot be written: a stolen key must end whatever is away.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
import structlog
from redis.exceptions import RedisError

from cloudscale.errors import BackendUnavailableError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from redis.asyncio import Redis

    from cloudscale.audit_record import Act
    from cloudscale.cache.keys import Keys

log = structlog.get_logger(__name__)

ENTRIES = 10_000
NAMED = 50
"""Sequence numbers in one entry."""
RECORD_SECONDS = 2.0
"""How long an act waits for one entry."""

T = TypeVar("T")


class NotRecordedError(BackendUnavailableError):
    """An act was not done, because the audit record cannot be written."""


class Entry(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One entry of the audit record."""

    at: str
    who: str
    act: str
    """An :data:`~cloudscale.audit_record.Act`, or one that another version knows."""
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
            NotRecordedError: it is not recorded, so the act must not be done.
        """
        at = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        entry = Entry(at=at, who=who, act=act, what=what, outcome=outcome)
        if self._logged:
            log.info("acted", who=who, act=act, what=what, outcome=outcome)
        try:
            async with asyncio.timeout(RECORD_SECONDS):
                await self._redis.xadd(
                    self._key, {"entry": msgspec.json.encode(entry)}, maxlen=ENTRIES, approximate=True
                )
        except (RedisError, OSError) as error:
            problem = str(error) or "it does not answer in time"
            raise NotRecordedError(
                f"nothing was done, since the audit record in Redis cannot be written ({problem}): try again"
            ) from error

    async def recorded(self, do: Callable[[], Awaitable[int]], *, who: str, act: Act, what: str) -> int:
        """Do something that is recorded; how many dead letters it was done with, as ``do`` answers.

        Raises:
            NotRecordedError: it cannot be recorded, so it was not done.
        """
        return await self.around(do, who=who, act=act, what=what, outcome=lambda done: f"{done} done")

    async def around(
        self,
        do: Callable[[], Awaitable[T]],
        *,
        who: str,
        act: Act,
        what: str,
        outcome: Callable[[T], str],
        unrecorded: Callable[[], None] | None = None,
    ) -> T:
        """Do something that is recorded; what ``do`` answers, of which ``outcome`` is what the record says.

        What has been done stays done, and its answer is given, when only the outcome cannot be recorded any more.

        Args:
            do: does it.
            who: does it.
            act: what is done.
            what: to what.
            outcome: what the record says of the answer.
            unrecorded: is called when it was done and no entry says so. Without it, it is not done then.

        Raises:
            NotRecordedError: it cannot be recorded, so it was not done.
        """
        is_recorded = True
        try:
            await self.record(who=who, act=act, what=what, outcome="asked for")
        except NotRecordedError as error:
            if unrecorded is None:
                raise
            log.warning("this is done though the audit record cannot be written", who=who, act=act, error=str(error))
            is_recorded = False
        try:
            done = await do()
        except Exception as error:
            await self._end(who=who, act=act, what=what, outcome=f"failed: {error}")
            raise
        is_recorded |= await self._end(who=who, act=act, what=what, outcome=outcome(done))
        if unrecorded is not None and not is_recorded:
            unrecorded()
        return done

    async def _end(self, *, who: str, act: Act, what: str, outcome: str) -> bool:
        try:
            await self.record(who=who, act=act, what=what, outcome=outcome)
        except NotRecordedError as error:
            log.warning(
                "the outcome is not in the audit record",
                who=who,
                act=act,
                what=what,
                outcome=outcome,
                error=str(error.__cause__),
            )
            return False
        return True

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
