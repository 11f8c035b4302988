"""Reads the depth of the queue and keeps the concurrency limit that follows from it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import structlog

from cloudscale.errors import BackendError
from cloudscale.pipeline.backpressure import concurrency_limit
from cloudscale.telemetry import metrics
from cloudscale.units import parse_duration

if TYPE_CHECKING:
    from cloudscale import pipeline
    from cloudscale.queue.administration import QueueAdministration

log = structlog.get_logger(__name__)


class Pressure:
    """The worker's concurrency limit in messages, by the depth it last read."""

    def __init__(self, concurrency: pipeline.Concurrency, administration: QueueAdministration) -> None:
        self.limit = concurrency_limit(concurrency, 0, None)
        self._concurrency = concurrency
        self._administration = administration
        self._interval = parse_duration(concurrency.interval).total_seconds()
        metrics.CONCURRENCY_LIMIT.set(self.limit)

    async def watch(self) -> None:
        """Read the depth at the resource's interval until cancelled; while it cannot be read the last limit holds."""
        while True:
            await self.read()
            await asyncio.sleep(self._interval)

    async def read(self) -> None:
        """Read the depth once."""
        try:
            depth = await self._administration.depth()
        except BackendError as error:
            log.warning("depth of the queue not read, the last limit holds", limit=self.limit, error=str(error))
            return
        limit = concurrency_limit(self._concurrency, depth.active, self.limit)
        if limit != self.limit:
            log.info("concurrency changed", depth=depth.active, before=self.limit, after=limit)
        self.limit = limit
        metrics.CONCURRENCY_LIMIT.set(limit)
        metrics.QUEUE_DEPTH.set(depth.active)
        metrics.DEAD_LETTER_DEPTH.set(depth.dead_letters)

    def share(self, lane: int, lanes: int) -> int:
        """How much of the limit one of ``lanes`` may use: the shares add up to it."""
        return self.limit // lanes + (lane < self.limit % lanes)
