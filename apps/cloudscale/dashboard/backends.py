"""The dashboard's connections to the pipeline's backends, each opened when it is first needed.

The dashboard must come up, and say what is wrong, while a backend is away.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Self, TypeVar

from cloudscale.access.administration import Administration
from cloudscale.access.announcements import Announcements
from cloudscale.access.container import AccessContainer, open_access
from cloudscale.access.device_view import DeviceView
from cloudscale.access.shared_cache import SharedCache
from cloudscale.access.sightings import Sightings
from cloudscale.cache.connection import open_redis
from cloudscale.cache.keys import keys_of
from cloudscale.ledger.backlog import BacklogReader
from cloudscale.ledger.dead_letters import DeadLetterLedger
from cloudscale.ledger.shared_depth import SharedDepth
from cloudscale.queue.administration import QueueAdministration
from cloudscale.queue.dead_letters import DeadLetters
from cloudscale.store.events import EventStore
from cloudscale.store.tenant_view import TenantView
from cloudscale.tasks import cancel_and_wait, start_task

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager

    from redis.asyncio import Redis

    from cloudscale.ledger.backlog import Backlog
    from cloudscale.pipeline import EventPipeline
    from cloudscale.queue.administration import QueueDepth
    from cloudscale.settings import Settings

Client = TypeVar("Client")


class Lazily:
    """Opens a client at its first use; a failed attempt leaves nothing behind and the next use tries again."""

    def __init__(self, exits: AsyncExitStack) -> None:
        self._exits = exits
        # One each, so that a backend that is away holds up nobody who needs another one.
        self._locks: defaultdict[object, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._opened: dict[object, object] = {}

    async def get(self, make: Callable[[], AbstractAsyncContextManager[Client]], kind: type[Client]) -> Client:
        """The client of this ``kind``, opened by ``make`` if it is not open yet."""
        async with self._locks[kind]:
            if kind not in self._opened:
                self._opened[kind] = await self._exits.enter_async_context(make())
        client = self._opened[kind]
        assert isinstance(client, kind)  # noqa: S101 - for the type checker
        return client


class Backends:
    """Redis, the queue's management and the store of one pipeline, as an async context manager."""

    def __init__(self, resource: EventPipeline, settings: Settings) -> None:
        self.resource = resource
        self.settings = settings
        self._exits = AsyncExitStack()
        self._clients = Lazily(self._exits)

    async def __aenter__(self) -> Self:
        self.redis: Redis = open_redis(self.settings.redis_url)
        self._exits.push_async_callback(self.redis.aclose)
        self._announcements = Announcements(SharedCache(self.redis, keys=keys_of(self.resource)))
        telling = start_task(self._announcements.tell_later(), name="announcements")
        self._exits.push_async_callback(cancel_and_wait, telling)
        self._backlog = BacklogReader(
            SharedDepth(self._depth, self.redis, keys=keys_of(self.resource)).read,
            self.redis,
            keys=keys_of(self.resource),
            events_per_message=self.resource.spec.queue.events_per_message,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._exits.aclose()

    async def view(self, tenants: frozenset[str] | None) -> TenantView:
        """What the store has of ``tenants``, None being everybody's.

        Raises:
            BackendError: it cannot be reached.
        """
        return TenantView(await self.store(), tenants)

    async def devices(self, tenants: frozenset[str] | None) -> DeviceView:
        """The devices of ``tenants``, None being everybody's.

        Raises:
            BackendError: the store cannot be reached.
        """
        container, keys = await self.directory(), keys_of(self.resource)
        return DeviceView(container, Sightings(self.redis, keys=keys), tenants)

    async def store(self) -> EventStore:
        """The events' store, of all tenants: routes that show what it holds take a :meth:`view` of it.

        Raises:
            BackendError: it cannot be reached.
        """
        return await self._clients.get(lambda: EventStore(self.resource.spec.store, self.settings), EventStore)

    async def directory(self) -> AccessContainer:
        """Tenants, keys and devices, of all tenants.

        Routes take an ``Administrator`` that has an authority, or :meth:`devices`.

        Raises:
            BackendError: the store cannot be reached.
        """
        return await self._clients.get(lambda: open_access(self.resource.spec.store, self.settings), AccessContainer)

    async def administration(self) -> Administration:
        """What changes the directory.

        Raises:
            BackendError: the store cannot be reached.
        """
        return Administration(await self.directory(), self._announcements)

    async def backlog(self) -> Backlog:
        """How many events the queue holds.

        Raises:
            BackendError: the management API cannot be reached.
        """
        return await self._backlog.read()

    async def _depth(self) -> QueueDepth:
        spec = self.resource.spec.queue
        administration = await self._clients.get(lambda: QueueAdministration(spec, self.settings), QueueAdministration)
        return await administration.depth()

    async def dead_letters(self) -> DeadLetters:
        """The queue's dead letters.

        Raises:
            BackendError: the broker cannot be reached.
        """
        ledger = DeadLetterLedger(self.redis, keys=keys_of(self.resource))
        spec = self.resource.spec.queue
        return await self._clients.get(lambda: DeadLetters(spec, self.settings, ledger=ledger), DeadLetters)
