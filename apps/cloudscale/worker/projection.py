"""Keeps the users' profiles: a projection of the change feed.

Each pass adds what is new to the profiles and writes those that changed. A crash repeats the pass, and the profiles'
own positions make that harmless: each event is in its user's sums exactly once.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import TYPE_CHECKING

import structlog

from cloudscale.errors import BackendUnavailableError
from cloudscale.store.batches import ITEMS
from cloudscale.store.profiles import Profile, partition_of, profile_id
from cloudscale.tasks import gather_all
from cloudscale.worker.scoring import Change, apply, change_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cloudscale.store.batches import Document
    from cloudscale.store.feed_range import FeedRange
    from cloudscale.store.profiles import ProfileStore

log = structlog.get_logger(__name__)

CACHED_PROFILES = 20_000
WRITES_IN_FLIGHT = 4
CONFLICT_ROUNDS = 10

User = tuple[str, str]
"""Tenant id and user id."""


class Projection:
    """Follows the feed into ``profiles``. ``scoring`` has the points of each event type."""

    name = "profiles"

    def __init__(self, profiles: ProfileStore, *, scoring: Mapping[str, int]) -> None:
        self._profiles = profiles
        self._scoring = scoring
        self._changes: dict[FeedRange, dict[User, list[Change]]] = {}
        self._cache: OrderedDict[User, Profile] = OrderedDict()
        self._in_flight = asyncio.Semaphore(WRITES_IN_FLIGHT)

    def is_full(self, of: FeedRange) -> bool:  # noqa: ARG002 - it never waits
        """Whether it can take no more."""
        return False

    def take(self, of: FeedRange, events: list[Document]) -> None:
        """Note what a page of events changes."""
        changes = self._changes.setdefault(of, {})
        for event in events:
            change = change_of(event)
            if change is None:
                log.warning("a document is no event, profiles leave it out", document=event.get("id"), range=of.id)
            elif change.user_id:
                changes.setdefault((change.tenant_id, change.user_id), []).append(change)

    async def keep(self, of: FeedRange, *, at_once: bool, is_at_end: bool) -> bool:  # noqa: ARG002 - it never waits
        """Write the profiles that changed."""
        # What is not written now is read again, from where the range was read to before.
        await self._apply(of, self._changes.pop(of, {}))
        return True

    def forget(self, of: FeedRange) -> None:
        """Drop changes of a range."""
        self._changes.pop(of, None)

    def start_over(self, of: FeedRange) -> None:
        """Say what becomes of sums over events that are gone."""
        advice = "delete the profiles' container too, or they keep the sums of the events that were deleted"
        log.warning("profiles hold events of the container that was there before", range=of.id, do=advice)

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
