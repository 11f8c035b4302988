"""Keeps the users' profiles: a projection of the change feed, in passes.

Each pass reads what is new in the ranges that this worker owns, adds it to the profiles, writes those that changed, and
only then notes how far it has read. A crash in between repeats the pass, and the profiles' own positions make that
harmless: each event is in its user's sums exactly once.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import structlog

from cloudscale.errors import BackendError, BackendUnavailableError
from cloudscale.store.batches import ITEMS
from cloudscale.store.feed import ForeignContinuationError
from cloudscale.store.profiles import Profile, partition_of, profile_id
from cloudscale.tasks import gather_all
from cloudscale.worker.scoring import Change, apply, change_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cloudscale.store.feed import EventFeed, FeedRange
    from cloudscale.store.profiles import ProfileStore
    from cloudscale.worker.ranges import OwnedRanges

log = structlog.get_logger(__name__)

PAGE_EVENTS = 1000
PASS_EVENTS = 50_000
"""Events of one pass at the most, which bounds its memory."""

PASS_SECONDS = 1.0
SLOWEST_PASS_SECONDS = 12.0
IDLE_SHARE = 6
"""The pause after a pass is so many times as long as the pass took: the busier the worker, the more events of one user
meet in a pass and the fewer writes they cost."""

CACHED_PROFILES = 20_000
WRITES_IN_FLIGHT = 4
CONFLICT_ROUNDS = 10
DRAIN_SECONDS = 15.0

User = tuple[str, str]
"""Tenant id and user id."""


class Projection:
    """Reads the ranges that ``ranges`` owns into ``profiles``. ``scoring`` has the points of each event type."""

    def __init__(
        self, feed: EventFeed, ranges: OwnedRanges, profiles: ProfileStore, *, scoring: Mapping[str, int]
    ) -> None:
        self._feed = feed
        self._ranges = ranges
        self._profiles = profiles
        self._scoring = scoring
        self._cache: OrderedDict[User, Profile] = OrderedDict()
        self._in_flight = asyncio.Semaphore(WRITES_IN_FLIGHT)

    async def run(self, until: asyncio.Event) -> None:
        """Make passes until told to stop, then catch up with what is stored and give the ranges back."""
        while not until.is_set():
            started = time.monotonic()
            is_behind = await self._try_pass()
            took = time.monotonic() - started
            if not is_behind:
                pause = min(max(PASS_SECONDS, IDLE_SHARE * took), SLOWEST_PASS_SECONDS)
                with suppress(TimeoutError):
                    await asyncio.wait_for(until.wait(), pause)
        try:
            async with asyncio.timeout(DRAIN_SECONDS):
                while await self._try_pass():
                    pass
                await self._ranges.release()
        except (BackendError, TimeoutError) as error:
            log.warning("profiles are not up to date, the next worker goes on with them", error=str(error))

    async def _try_pass(self) -> bool:
        try:
            return await self.run_pass()
        except BackendError as error:
            log.warning("profiles wait for the store", error=str(error))
            return False

    async def run_pass(self) -> bool:
        """Read and apply what is new; whether there is more to read at once.

        Raises:
            BackendError: the store did not answer; the next pass repeats this one.
        """
        await self._ranges.refresh()
        behind = [await self._advance(of) for of in list(self._ranges.owned)]
        return any(behind)

    async def _advance(self, of: FeedRange) -> bool:
        """Go on in one range, or begin anew in one of a new container; whether there is more."""
        try:
            return await self._read_on(of)
        except ForeignContinuationError as error:
            advice = "delete the profiles' container too, or they keep the sums of the events that were deleted"
            log.warning(
                "the events' container was made anew, reading it from its beginning", error=str(error), do=advice
            )
            await self._ranges.checkpoint(of, None, read_to_end_at=None)
            return True

    async def _read_on(self, of: FeedRange) -> bool:
        lease = self._ranges.owned[of]
        continuation = lease.continuation
        started_at = datetime.now(UTC)
        changes: dict[User, list[Change]] = {}
        events = 0
        page = await self._feed.read(of, continuation=continuation, since=lease.since, limit=PAGE_EVENTS)
        while page.events:
            for event in page.events:
                change = change_of(event)
                if change is None:
                    log.warning("a document is no event, profiles leave it out", document=event.get("id"), range=of.id)
                elif change.user_id:
                    changes.setdefault((change.tenant_id, change.user_id), []).append(change)
            continuation = page.continuation
            events += len(page.events)
            if events >= PASS_EVENTS:
                break
            page = await self._feed.read(of, continuation=continuation, limit=PAGE_EVENTS)
        if not await self._ranges.is_whole(of):
            # The pages may be of both parts, whose numbers must not be mixed; the parts' own leases read them again.
            return True
        await self._apply(of, changes)
        await self._ranges.checkpoint(of, continuation, read_to_end_at=None if page.events else started_at)
        return bool(page.events)

    async def _apply(self, of: FeedRange, changes: dict[User, list[Change]]) -> None:
        partitions: dict[str, list[User]] = {}
        for user in changes:
            partitions.setdefault(partition_of(*user), []).append(user)
        batches = [
            (partition_key, users[start : start + ITEMS])
            for partition_key, users in partitions.items()
            for start in range(0, len(users), ITEMS)
        ]
        await gather_all(
            self._apply_batch(of, partition_key, {user: changes[user] for user in users})
            for partition_key, users in batches
        )
        while len(self._cache) > CACHED_PROFILES:
            self._cache.popitem(last=False)

    async def _apply_batch(self, of: FeedRange, partition_key: str, changes: dict[User, list[Change]]) -> None:
        async with self._in_flight:
            for _ in range(CONFLICT_ROUNDS):
                await self._load(partition_key, [user for user in changes if user not in self._cache])
                changed = [
                    profile
                    for user, new in changes.items()
                    if apply(profile := self._cache[user], new, of=of, scoring=self._scoring)
                ]
                try:
                    if not changed or await self._profiles.write(changed):
                        return
                except BaseException:
                    self._forget(changes)
                    raise
                # Another range's reader was faster with one of them.
                self._forget(changes)
        raise BackendUnavailableError(f"profiles of {partition_key} changed too fast to be written")

    async def _load(self, partition_key: str, users: Sequence[User]) -> None:
        """Get the profiles of users into the cache, new ones for those without."""
        if not users:
            return
        ids = {profile_id(user_id): (tenant_id, user_id) for tenant_id, user_id in users}
        for profile in await self._profiles.read(partition_key, list(ids)):
            self._cache[ids.pop(profile.id)] = profile
        for new_id, (tenant_id, user_id) in ids.items():
            self._cache[tenant_id, user_id] = Profile(
                id=new_id, partition_key=partition_key, tenant_id=tenant_id, user_id=user_id
            )

    def _forget(self, users: Mapping[User, object]) -> None:
        """Drop profiles whose state in the store is not known any more."""
        for user in users:
            self._cache.pop(user, None)
