"""Limits the worker's calls to the store, by the depth of the queue.

The limit counts calls in flight, each of which carries up to a whole batch of events. Were it to count messages, a
worker in critical mode would write batches of as few events as its messages have, and the deepest queue would be worked
off the slowest.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import structlog

from cloudscale.errors import BackendError
from cloudscale.ledger.backlog import publish_gauges
from cloudscale.pipeline.backpressure import concurrency_limit
from cloudscale.store.batches import ITEMS
from cloudscale.telemetry import metrics
from cloudscale.units import parse_duration

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from cloudscale import pipeline
    from cloudscale.ledger.backlog import BacklogReader

log = structlog.get_logger(__name__)


def turn_messages(limiter: ConcurrencyLimiter, *, lanes: int) -> int:
    """How many messages one of ``lanes`` takes into a turn: messages of a single event fill its share of the calls."""
    return max(ITEMS, ITEMS * limiter.limit // lanes)


class ConcurrencyLimiter:
    """How many calls to the store may be in flight, by the depth that was last read.

    Calls that wait are let through in their order. A limit that sinks does not interrupt calls that are on their way.
    """

    def __init__(self, concurrency: pipeline.Concurrency, backlog: BacklogReader) -> None:
        self.limit = concurrency_limit(concurrency, 0, None)
        self.in_flight = 0
        self.messages_in_queue: int | None = None
        """Messages that the queue had at the last reading; None while it cannot be read."""
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._concurrency = concurrency
        self._backlog = backlog
        self._interval = parse_duration(concurrency.interval).total_seconds()
        metrics.CONCURRENCY_LIMIT.set(self.limit)

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        """Wait until another call may be made; it is in flight for as long as the block runs."""
        if self._waiting or self.in_flight >= self.limit:
            await self._wait_for_a_slot()
        else:
            self.in_flight += 1
        try:
            yield
        finally:
            self.in_flight -= 1
            self._let_through()

    async def watch(self) -> None:
        """Read the depth at the resource's interval until cancelled; while it cannot be read the last limit holds."""
        while True:
            await self.read()
            await asyncio.sleep(self._interval)

    async def read(self) -> None:
        """Read the depth once."""
        try:
            backlog = await self._backlog.read()
        except BackendError as error:
            self.messages_in_queue = None
            log.warning("depth of the queue not read, the last limit holds", limit=self.limit, error=str(error))
            return
        self.messages_in_queue = backlog.messages
        limit = concurrency_limit(self._concurrency, backlog.events, self.limit)
        if limit != self.limit:
            log.info("concurrency changed", depth=backlog.events, before=self.limit, after=limit)
        self.limit = limit
        self._let_through()
        metrics.CONCURRENCY_LIMIT.set(limit)
        publish_gauges(backlog)

    async def _wait_for_a_slot(self) -> None:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                # The slot was handed over at this very moment.
                self.in_flight -= 1
                self._let_through()
            raise

    def _let_through(self) -> None:
        while self._waiting and self.in_flight < self.limit:
            turn = self._waiting.popleft()
            if not turn.done():
                # Taken for the caller here, so that nobody comes in between.
                self.in_flight += 1
                turn.set_result(None)
