"""How much waits in the queue, counted in events: a message holds from one to a hundred of them.

The broker knows messages only. The ledger knows which events were accepted and have not ended, which is the same
backlog in events. What the broker says bounds it from both sides, because a message holds at least one event and at
most ``eventsPerMessage``: an entry that was left behind in the ledger, or a message that it does not know, cannot make
it wrong by more than that. While Redis is away, the events in a message are those of the last time it was there.

The age of the oldest event comes from a sample of the ledger: reading all of a deep backlog would cost Redis as much as
accepting it. With more entries than the sample has, the oldest of all is a little older than the oldest of the sample.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, cast

import msgspec
from redis.exceptions import RedisError

from cloudscale.cache.records import parse_acceptance
from cloudscale.telemetry import metrics

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from redis.asyncio import Redis

    from cloudscale.cache.keys import Keys
    from cloudscale.queue.administration import QueueDepth

SAMPLE_ENTRIES = 200

LEDGER_SECONDS = 1.0
"""How long a reading waits for Redis before it estimates."""


class Backlog(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What waits in a queue or is being processed, at one moment."""

    events: int
    messages: int
    dead_letters: int
    """Messages in the dead-letter queue, each with one event."""
    scheduled: int
    """Messages that are to be delivered later."""
    oldest_seconds: float | None = None
    """How long ago the oldest event was accepted, by a sample; None if nothing waits or Redis does not tell."""
    estimated: bool = False
    """Whether ``events`` is messages times what a message held at an earlier reading, because Redis is away."""


class BacklogReader:
    """Reads the backlog of one pipeline's queue; ``depth`` reads what the broker says.

    Without a ``redis`` a message counts as one event.
    """

    def __init__(
        self, depth: Callable[[], Awaitable[QueueDepth]], redis: Redis | None, *, keys: Keys, events_per_message: int
    ) -> None:
        self._depth = depth
        self._redis = redis
        self._inflight_key = keys.inflight
        self._most_per_message = events_per_message
        self._events_per_message = 1.0

    async def read(self) -> Backlog:
        """Read it once.

        Raises:
            CredentialError, BackendUnavailableError: ``depth`` does, because the broker does not tell.
        """
        depth, unsettled = await asyncio.gather(self._depth(), self._unsettled())
        if unsettled is None:
            events = round(depth.active * self._events_per_message)
        else:
            events = min(max(unsettled, depth.active), depth.active * self._most_per_message)
            if depth.active:
                self._events_per_message = events / depth.active
        return Backlog(
            events=events,
            messages=depth.active,
            dead_letters=depth.dead_letters,
            scheduled=depth.scheduled,
            oldest_seconds=await self._oldest_seconds() if depth.active and unsettled else None,
            estimated=unsettled is None,
        )

    async def _unsettled(self) -> int | None:
        """Events that were accepted and have not ended, None while Redis does not answer."""
        if self._redis is None:
            return None
        try:
            async with asyncio.timeout(LEDGER_SECONDS):
                return int(await self._redis.hlen(self._inflight_key))
        except (RedisError, OSError, TimeoutError):
            return None

    async def _oldest_seconds(self) -> float | None:
        if self._redis is None:
            return None
        try:
            async with asyncio.timeout(LEDGER_SECONDS):
                found = await self._redis.hrandfield(self._inflight_key, SAMPLE_ENTRIES, withvalues=True)
        # Before version 6.2 Redis has no such command: the depth is known all the same.
        except (RedisError, OSError, TimeoutError):
            return None
        sample = cast("list[bytes]", found)
        received = [
            parse_acceptance(field, value).received_at for field, value in zip(sample[::2], sample[1::2], strict=True)
        ]
        return max(0.0, time.time() - min(received)) if received else None


def publish_gauges(backlog: Backlog) -> None:
    """Set this process's metrics to a reading."""
    metrics.QUEUE_DEPTH.set(backlog.events)
    metrics.QUEUE_MESSAGES.set(backlog.messages)
    metrics.QUEUE_OLDEST.set(backlog.oldest_seconds or 0.0)
    metrics.DEAD_LETTER_DEPTH.set(backlog.dead_letters)
