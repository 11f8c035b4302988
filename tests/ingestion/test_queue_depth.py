"""Load is shed by a recent reading of the queue's depth, never by one that nobody can renew."""

from __future__ import annotations

from cloudscale.errors import BackendUnavailableError
from cloudscale.ingestion.queue_depth import FAILURES_TO_FORGET, RecentQueueDepth
from cloudscale.ledger.backlog import Backlog


class Queue:
    """A queue whose depth can be read while it is not ``away``."""

    def __init__(self) -> None:
        self.away = False

    async def depth(self) -> Backlog:
        if self.away:
            raise BackendUnavailableError("the management API does not answer")
        return Backlog(events=7, messages=2, dead_letters=0, scheduled=0)


async def test_the_depth_is_the_last_reading() -> None:
    depth = RecentQueueDepth(Queue().depth)
    assert depth.events == 0
    await depth.refresh()
    assert depth.events == 7


async def test_a_reading_outlives_a_failure_and_not_many() -> None:
    queue = Queue()
    depth = RecentQueueDepth(queue.depth)
    await depth.refresh()
    queue.away = True
    for _ in range(FAILURES_TO_FORGET - 1):
        await depth.refresh()
    assert depth.events == 7
    await depth.refresh()
    assert depth.events == 0
    queue.away = False
    await depth.refresh()
    assert depth.events == 7
