"""The dashboard's connections to the pipeline's backends, each opened when it is first needed.

The dashboard must come up, and say what is wrong, while a backend is away.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import TYPE_CHECKING, Self, TypeVar

from redis.asyncio import Redis

from cloudscale.circuit_breaker import CircuitBreaker
from cloudscale.limits.keys import keys_of
from cloudscale.limits.ledger import Ledger
from cloudscale.queue.administration import QueueAdministration
from cloudscale.queue.dead_letters import DeadLetters
from cloudscale.store.events import EventStore

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from contextlib import AbstractAsyncContextManager

    from cloudscale.pipeline import EventPipeline
    from cloudscale.queue.administration import QueueDepth
    from cloudscale.settings import Settings

REDIS_SECONDS = 2.0

Client = TypeVar("Client")


class Lazily:
    """Opens a client at its first use; a failed attempt leaves nothing behind and the next use tries again."""

    def __init__(self, exits: AsyncExitStack) -> None:
        self._exits = exits
        self._lock = asyncio.Lock()
        self._opened: dict[object, object] = {}

    async def get(self, make: Callable[[], AbstractAsyncContextManager[Client]], kind: type[Client]) -> Client:
        """The client of this ``kind``, opened by ``make`` if it is not open yet."""
        async with self._lock:
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
        self.redis: Redis = Redis.from_url(
            self.settings.redis_url, socket_timeout=REDIS_SECONDS, socket_connect_timeout=REDIS_SECONDS
        )
        self._exits.push_async_callback(self.redis.aclose)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._exits.aclose()

    async def store(self) -> EventStore:
        """The events' store.

        Raises:
            BackendError: it cannot be reached.
        """
        return await self._clients.get(lambda: EventStore(self.resource.spec.store, self.settings), EventStore)

    async def depth(self) -> QueueDepth:
        """How many messages the queue holds.

        Raises:
            BackendError: the management API cannot be reached.
        """
        spec = self.resource.spec.queue
        administration = await self._clients.get(lambda: QueueAdministration(spec, self.settings), QueueAdministration)
        return await administration.depth()

    async def dead_letters(self) -> DeadLetters:
        """The queue's dead letters.

        Raises:
            BackendError: the broker cannot be reached.
        """
        ledger = Ledger(self.redis, keys=keys_of(self.resource), breaker=_never_open())
        spec = self.resource.spec.queue
        return await self._clients.get(lambda: DeadLetters(spec, self.settings, ledger=ledger), DeadLetters)


def _never_open() -> CircuitBreaker:
    """The dashboard asks Redis rarely and shows each failure, so nothing has to be kept from it."""
    return CircuitBreaker(
        backend="cache",
        failure_ratio=1.0,
        window=timedelta(seconds=1),
        minimum_calls=1_000_000,
        open_for=timedelta(seconds=1),
    )


class Remembered:
    """Answers of slow questions, kept for a while, each question asked once at a time."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._answers: dict[object, tuple[float, object]] = {}
        self._locks: dict[object, asyncio.Lock] = {}

    async def get(self, key: object, ask: Callable[[], Awaitable[Client]], *, fresh: bool = False) -> Client:
        """The answer to the question ``key``, asked again when it is older than the time, or ``fresh`` is wanted."""
        asked_at = asyncio.get_running_loop().time()
        async with self._locks.setdefault(key, asyncio.Lock()):
            known = self._answers.get(key)
            # With ``fresh``, an answer that was found while waiting for the lock is fresh enough.
            oldest = asked_at if fresh else asked_at - self._seconds
            if known is None or known[0] < oldest:
                known = (asyncio.get_running_loop().time(), await ask())
                self._answers[key] = known
        answer: Client = known[1]  # type: ignore[assignment]
        return answer
