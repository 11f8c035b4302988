"""How a process follows the change feed: in passes, each follower with a position of its own.

Each pass reads what is new in the ranges that this process owns, hands it to the follower, and notes how far it
has read only once the follower has kept it. A crash in between repeats what was not kept, so a follower must be able to
tell what it has had already: every event has its transaction's number in the range (``_lsn``).
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Protocol

import structlog

from cloudscale.errors import BackendError
from cloudscale.store.feed import ForeignContinuationError
from cloudscale.telemetry import metrics

if TYPE_CHECKING:
    from cloudscale.store.batches import Document
    from cloudscale.store.feed import EventFeed
    from cloudscale.store.feed_range import FeedRange
    from cloudscale.store.leases import Lease
    from cloudscale.store.ranges import OwnedRanges

log = structlog.get_logger(__name__)

PAGE_EVENTS = 1000
PASS_EVENTS = 50_000
"""Events of one range in one pass at the most, which bounds a follower's memory."""

PASS_SECONDS = 1.0
SLOWEST_PASS_SECONDS = 12.0
IDLE_SHARE = 6
"""The pause after a pass is so many times as long as the pass took: the busier the process, the more events meet in a
pass and the less each of them costs."""

DRAIN_SECONDS = 15.0


class Follower(Protocol):
    """What follows the feed. Events that were taken and not kept are taken again by whoever owns the range then."""

    name: str
    """As people call what it keeps, in messages."""

    def is_full(self, of: FeedRange) -> bool:
        """Whether what was taken of a range has to be kept before it can take more."""

    def take(self, of: FeedRange, events: list[Document]) -> None:
        """Take a page of a range's events, in order."""

    async def keep(self, of: FeedRange, *, at_once: bool, is_at_end: bool) -> bool:
        """Whether all that was taken of a range is kept now; ``at_once`` asks not to wait for more.

        ``is_at_end`` says that the range had no more when it was read.

        Raises:
            BackendError: it cannot be kept at present; the next pass asks again.
        """

    def forget(self, of: FeedRange) -> None:
        """Drop what was taken of a range and not kept."""

    def start_over(self, of: FeedRange) -> None:
        """Be told that the container was made anew: the range is read from its beginning, and numbers begin anew."""


class Passes:
    """Reads the ranges that ``ranges`` owns into ``follower``.

    Args:
        feed: what is read.
        ranges: which of it.
        follower: what keeps it.
        events: how many of one range are read in one pass at the most.
        figure: the follower's name in the figures; empty for none.
    """

    def __init__(
        self, feed: EventFeed, ranges: OwnedRanges, follower: Follower, *, events: int = PASS_EVENTS, figure: str = ""
    ) -> None:
        self._feed = feed
        self._ranges = ranges
        self._follower = follower
        self._events = events
        self._figure = figure
        self._reached: dict[FeedRange, datetime] = {}
        """Up to when all that was stored in a range is kept, where that is known."""
        self._last: dict[FeedRange, datetime] = {}
        """When the last event was stored that was taken of a range."""
        self._taken: dict[FeedRange, tuple[str | None, str | None]] = {}
        """How far a range was taken beyond its lease's continuation: that one, and the one to read on after."""

    async def run(self, until: asyncio.Event) -> None:
        """Make passes until told to stop, then catch up with what is stored and give the ranges back."""
        while not until.is_set():
            started = time.monotonic()
            is_behind = await self._try_pass()
            self.show_lag()
            took = time.monotonic() - started
            if not is_behind:
                pause = min(max(PASS_SECONDS, IDLE_SHARE * took), SLOWEST_PASS_SECONDS)
                with suppress(TimeoutError):
                    await asyncio.wait_for(until.wait(), pause)
        try:
            async with asyncio.timeout(DRAIN_SECONDS):
                while await self._try_pass(at_once=True):
                    pass
                await self._ranges.release()
        except (BackendError, TimeoutError) as error:
            log.warning(f"{self._follower.name} not up to date, the next process goes on", error=str(error))  # noqa: G004

    async def _try_pass(self, *, at_once: bool = False) -> bool:
        try:
            return await self.run_pass(at_once=at_once)
        except BackendError as error:
            log.warning(f"{self._follower.name} have to wait", error=str(error))  # noqa: G004
            return False

    async def run_pass(self, *, at_once: bool = False) -> bool:
        """Read and hand over what is new; whether there is more to read at once.

        Raises:
            BackendError: the store or the follower's own backend did not answer; the next pass repeats this one.
        """
        await self._ranges.refresh()
        for of in self._taken.keys() - self._ranges.owned.keys():
            self._drop(of)
        for of in self._reached.keys() - self._ranges.owned.keys():
            del self._reached[of]
        behind = [await self._advance(of, at_once=at_once) for of in list(self._ranges.owned)]
        return any(behind)

    def lag(self, now: datetime) -> timedelta | None:
        """How long ago all that was stored in the owned ranges was kept; None while it is not known of one of them."""
        reached = [self._reached.get(of) or _told_by(lease) for of, lease in self._ranges.owned.items()]
        known = [moment for moment in reached if moment is not None]
        return max(now - min(known), timedelta(0)) if known and len(known) == len(reached) else None

    def show_lag(self) -> None:
        """Tell the figures how far behind it is, where that is known."""
        lag = self.lag(datetime.now(UTC))
        if self._figure and lag is not None:
            metrics.FOLLOWER_LAG.labels(self._figure).set(lag.total_seconds())

    def start_anew(self) -> None:
        """Drop what was taken and not kept, for ranges that are read from another place."""
        for of in list(self._taken):
            self._drop(of)
        self._reached.clear()

    async def _advance(self, of: FeedRange, *, at_once: bool) -> bool:
        """Go on in one range, or begin anew in one of a new container; whether there is more."""
        try:
            return await self._read_on(of, at_once=at_once)
        except ForeignContinuationError as error:
            log.warning("the events' container was made anew, reading it from its beginning", error=str(error))
            self._drop(of)
            self._follower.start_over(of)
            await self._ranges.checkpoint(of, None, read_to_end_at=None)
            return True

    async def _read_on(self, of: FeedRange, *, at_once: bool) -> bool:
        lease = self._ranges.owned[of]
        base, continuation = self._taken.get(of, (lease.continuation, lease.continuation))
        if base != lease.continuation:
            # Another process had the range in between.
            self._drop(of)
            continuation = lease.continuation
        if self._follower.is_full(of):
            return await self._keep(of, lease, continuation, at_once=at_once)
        started_at = datetime.now(UTC)
        try:
            continuation, is_at_end = await self._take_pages(of, lease, continuation)
        except BackendError:
            # What was taken before is kept all the same, or it would pile up while the store fails again and again.
            continuation, is_at_end = self._taken.get(of, (None, continuation))[1], False
            await self._keep(of, lease, continuation, at_once=at_once)
            raise
        if not await self._ranges.is_whole(of):
            # The pages may be of both parts, whose numbers must not be mixed; the parts' own leases read them again.
            self._drop(of)
            return True
        await self._keep(of, lease, continuation, at_once=at_once, read_to_end_at=started_at if is_at_end else None)
        return not is_at_end

    async def _take_pages(self, of: FeedRange, lease: Lease, continuation: str | None) -> tuple[str | None, bool]:
        """Hand over pages; where to read on after them, and whether the range has no more at present."""
        events = 0
        while events < self._events:
            limit = min(PAGE_EVENTS, self._events)
            page = await self._feed.read(of, continuation=continuation, since=lease.since, limit=limit)
            if not page.events:
                return continuation, True
            self._follower.take(of, page.events)
            self._last[of] = _stored_at(page.events[-1])
            continuation = page.continuation
            self._taken[of] = lease.continuation, continuation
            events += len(page.events)
        return continuation, False

    async def _keep(
        self,
        of: FeedRange,
        lease: Lease,
        continuation: str | None,
        *,
        at_once: bool,
        read_to_end_at: datetime | None = None,
    ) -> bool:
        """Have the follower keep what it took, and note it; whether it did."""
        try:
            is_kept = await self._follower.keep(of, at_once=at_once, is_at_end=read_to_end_at is not None)
        except BaseException:
            self._drop(of)
            raise
        if is_kept:
            self._taken.pop(of, None)
            if (reached := read_to_end_at or self._last.get(of)) is not None:
                self._reached[of] = reached
            self._last.pop(of, None)
            await self._ranges.checkpoint(of, continuation, read_to_end_at=read_to_end_at)
        else:
            await self._ranges.checkpoint(of, lease.continuation, read_to_end_at=None)
        return is_kept

    def _drop(self, of: FeedRange) -> None:
        self._taken.pop(of, None)
        self._last.pop(of, None)
        self._follower.forget(of)


def _told_by(lease: Lease) -> datetime | None:
    """Up to when all is kept, as whoever read the range before has noted."""
    return lease.since if lease.checked_at is None else lease.checked_at


def _stored_at(event: Document) -> datetime:
    """When the store took an event, in whole seconds."""
    return datetime.fromtimestamp(event["_ts"], UTC)
