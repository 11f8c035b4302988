"""Which ranges of the change feed a follower reads: it takes leases, prolongs them and gives them back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import msgspec
import structlog

from cloudscale.errors import BackendUnavailableError
from cloudscale.store.feed_range import FeedRange
from cloudscale.store.leases import Lease, leases_due, renewed

if TYPE_CHECKING:
    from cloudscale.store.feed import EventFeed
    from cloudscale.store.leases import LeaseStore

log = structlog.get_logger(__name__)

LEASE_DURATION = timedelta(seconds=15)
REFRESH_INTERVAL = timedelta(seconds=5)
OVERLAP = timedelta(minutes=5)
"""A range that comes from a split is read from this long before its parent was last read to the end. The clocks of the
store and of its followers differ, and reading an event twice is harmless."""


class OwnedRanges:
    """The leases of one process that follows the feed.

    Args:
        feed: tells which ranges there are.
        leases: tells who reads them.
        owner: this process's name.
        begin: where to begin in ranges that nobody has read; None for their beginning.
    """

    def __init__(self, feed: EventFeed, leases: LeaseStore, *, owner: str, begin: datetime | None = None) -> None:
        self._feed = feed
        self._leases = leases
        self._owner = owner
        self._begin = begin
        self._refreshed_at = datetime.min.replace(tzinfo=UTC)
        self.owned: dict[FeedRange, Lease] = {}

    async def refresh(self) -> None:
        """Take ranges that should be this process's, if the last refresh is old enough.

        Raises:
            BackendError: the store did not answer.
        """
        now = datetime.now(UTC)
        if now - self._refreshed_at < REFRESH_INTERVAL:
            return
        current = await self._feed.ranges(refresh=True)
        leases = {FeedRange.of(lease.id): lease for lease in await self._leases.all()}
        if missing := current - leases.keys():
            for of in missing:
                await self._leases.create(_first_lease(of, leases, begin=self._begin))
            leases = {FeedRange.of(lease.id): lease for lease in await self._leases.all()}
        for gone in leases.keys() - current if current <= leases.keys() else ():
            await self._leases.remove(leases[gone])
        there = [lease for of, lease in leases.items() if of in current]
        self.owned = {FeedRange.of(lease.id): lease for lease in there if self._is_mine(lease, now)}
        for lease in leases_due(there, self._owner, now):
            taken = await self._leases.write(renewed(lease, self._owner, LEASE_DURATION))
            if taken is not None:
                if lease.owner != self._owner:
                    log.info("reading a range of the change feed", range=lease.id, before=lease.owner)
                self.owned[FeedRange.of(lease.id)] = taken
        self._refreshed_at = now

    async def is_whole(self, of: FeedRange) -> bool:
        """Whether the range has not been split, as far as the SDK has noticed while reading it."""
        if of in await self._feed.ranges():
            return True
        self.owned.pop(of, None)
        self._refreshed_at = datetime.min.replace(tzinfo=UTC)
        return False

    async def checkpoint(self, of: FeedRange, continuation: str | None, *, read_to_end_at: datetime | None) -> None:
        """Note how far a range is read, and keep it; a range that another process has taken is given up."""
        lease = self.owned[of]
        is_fresh = lease.expires_at - datetime.now(UTC) > LEASE_DURATION / 2
        if continuation == lease.continuation and is_fresh:
            return
        written = await self._leases.write(
            msgspec.structs.replace(
                renewed(lease, self._owner, LEASE_DURATION),
                continuation=continuation,
                checked_at=read_to_end_at or lease.checked_at,
            )
        )
        if written is None:
            log.info("a range of the change feed was taken over", range=of.id)
            del self.owned[of]
        else:
            self.owned[of] = written

    async def rewind(self, to: datetime) -> None:
        """Go on in all ranges with what was stored from ``to`` on; for a follower of one process.

        Raises:
            BackendUnavailableError: another process changes the leases at the same time.
        """
        self.owned.clear()
        self._begin = to
        self._refreshed_at = datetime.min.replace(tzinfo=UTC)
        for lease in await self._leases.all():
            moved = msgspec.structs.replace(lease, continuation=None, since=to, checked_at=None)
            if await self._leases.write(moved) is None:
                raise BackendUnavailableError(f"range {lease.id} is read by another process: try again")

    async def release(self) -> None:
        """Give all ranges back, so that others need not wait for the leases to run out."""
        for lease in self.owned.values():
            await self._leases.write(msgspec.structs.replace(lease, owner="", expires_at=datetime.now(UTC)))
        self.owned.clear()

    def _is_mine(self, lease: Lease, now: datetime) -> bool:
        return lease.owner == self._owner and lease.is_held(now)


def _first_lease(of: FeedRange, leases: dict[FeedRange, Lease], *, begin: datetime | None) -> Lease:
    """A lease for a range that nobody has read, from ``begin`` or from where its parent was read to."""
    reached = [_reached(lease) for parent, lease in leases.items() if parent.contains(of)] or [begin]
    known = [moment for moment in reached if moment is not None]
    since = min(known) if len(known) == len(reached) else None
    return Lease(id=of.id, expires_at=datetime.now(UTC), since=since)


def _reached(lease: Lease) -> datetime | None:
    """From where a part of the range has to be read; None for the beginning."""
    return lease.since if lease.checked_at is None else lease.checked_at - OVERLAP
