"""Keeps a recent reading of the queue's depth, by which ingestion sheds load."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import structlog

from cloudscale.errors import BackendError
from cloudscale.ledger.backlog import publish_gauges

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from cloudscale.ledger.backlog import Backlog

log = structlog.get_logger(__name__)

INTERVAL_SECONDS = 5.0
FAILURES_TO_FORGET = 3
"""A reading that could not be renewed so often says nothing any more: kept, a high one would refuse every request for
as long as the management API is away, while the queue has long been worked off."""


class RecentQueueDepth:
    """The last reading that ``read`` has given."""

    def __init__(self, read: Callable[[], Awaitable[Backlog]]) -> None:
        self._read = read
        self._failures = 0
        self.events = 0
        """Events in the queue; 0 while nothing is known."""

    async def watch(self) -> None:
        """Read every few seconds, until cancelled."""
        while True:
            await self.refresh()
            await asyncio.sleep(INTERVAL_SECONDS)

    async def refresh(self) -> None:
        """Read once."""
        try:
            backlog = await self._read()
        except BackendError as error:
            self._failures += 1
            if self._failures == FAILURES_TO_FORGET and self.events:
                log.warning("the queue's depth is not known any more, requests are not shed by it", error=str(error))
            if self._failures >= FAILURES_TO_FORGET:
                self.events = 0
            return
        self._failures = 0
        self.events = backlog.events
        publish_gauges(backlog)
