"""Reads the depth of the queue and keeps the concurrency limit that follows from it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import structlog

from cloudscale.errors import BackendError
from cloudscale.ledger.backlog import show
from cloudscale.pipeline.backpressure import concurrency_limit
from cloudscale.telemetry import metrics
from cloudscale.units import parse_duration

if TYPE_CHECKING:
    from cloudscale import pipeline
    from cloudscale.ledger.backlog import BacklogReader

log = structlog.get_logger(__name__)


class Pressure:
    """The worker's concurrency limit in messages, by the depth it last read."""

    def __init__(self, concurrency: pipeline.Concurrency, backlog: BacklogReader) -> None:
        self.limit = concurrency_limit(concurrency, 0, None)
        self._concurrency = concurrency
        self._backlog = backlog
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
            backlog = await self._backlog.read()
        except BackendError as error:
            log.warning("depth of the queue not read, the last limit holds", limit=self.limit, error=str(error))
            return
        limit = concurrency_limit(self._concurrency, backlog.events, self.limit)
        if limit != self.limit:
            log.info("concurrency changed", depth=backlog.events, before=self.limit, after=limit)
        self.limit = limit
        metrics.CONCURRENCY_LIMIT.set(limit)
        show(backlog)

    def share(self, lane: int, lanes: int) -> int:
        """How much of the limit one of ``lanes`` may use: the shares add up to it."""
        return self.limit // lanes + (lane < self.limit % lanes)
