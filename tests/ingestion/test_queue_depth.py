"""Load is shed by a recent reading of the queue's depth, never by one that nobody can renew."""

from __future__ import annotations

from cloudscale.errors import BackendUnavailableError
from cloudscale.ingestion.queue_depth import FAILURES_TO_FORGET, RecentQueueDepth
from cloudscale.queue.administration import QueueDepth


class Queue:
    """A queue whose depth can be read while it is not ``away``."""

    def __init__(self) -> None:
        self.away = False

    async def depth(self) -> QueueDepth:
        if self.away:
            raise BackendUnavailableError("the management API does not answer")
        return QueueDepth(active=7, dead_letters=0, scheduled=0)


async def test_the_depth_is_the_last_reading() -> None:
    depth = RecentQueueDepth(Queue().depth)
    assert depth.messages == 0
    await depth.look()
    assert depth.messages == 7


async def test_a_reading_outlives_a_failure_and_not_many() -> None:
    queue = Queue()
    depth = RecentQueueDepth(queue.depth)
    await depth.look()
    queue.away = True
    for _ in range(FAILURES_TO_FORGET - 1):
        await depth.look()
    assert depth.messages == 7
    await depth.look()
    assert depth.messages == 0
    queue.away = False
    await depth.look()
    assert depth.messages == 7
