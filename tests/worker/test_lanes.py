"""A lane whose receiver looks connected and gets nothing while messages wait."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from tests.worker.harness import Harness, page_view

from cloudscale.queue.receiver import MessageReceiver
from cloudscale.worker import lanes

if TYPE_CHECKING:
    import pytest
    from azure.servicebus import ServiceBusReceivedMessage

DEAF = "messages wait in the queue and none is received, also over new connections"


class Deafness:
    """Makes the receivers that are opened while it holds hear nothing for as long as they live."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.holds = True
        self.opened = 0
        self._deaf: set[int] = set()
        opening, receiving = MessageReceiver.__aenter__, MessageReceiver.receive

        async def open_one(receiver: MessageReceiver) -> MessageReceiver:
            self.opened += 1
            if self.holds:
                self._deaf.add(id(receiver))
            else:
                self._deaf.discard(id(receiver))
            return await opening(receiver)

        async def receive(receiver: MessageReceiver, limit: int, *, body_bytes: int) -> list[ServiceBusReceivedMessage]:
            if id(receiver) in self._deaf:
                await asyncio.sleep(0.1)
                return []
            return await receiving(receiver, limit, body_bytes=body_bytes)

        monkeypatch.setattr(MessageReceiver, "__aenter__", open_one)
        monkeypatch.setattr(MessageReceiver, "receive", receive)


async def test_a_receiver_that_hears_nothing_is_made_anew(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lanes, "STALLED_SECONDS", 2.0)
    deafness = Deafness(monkeypatch)
    await harness.send(await harness.accept([page_view()]))
    async with harness.worker():

        async def connected() -> bool:
            return deafness.opened == 2

        await harness.until(connected)
        deafness.holds = False
        await harness.stored(1)
        await harness.settled()


async def test_a_worker_that_hears_nothing_over_new_connections_either_is_not_ready(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lanes, "STALLED_SECONDS", 2.0)
    deafness = Deafness(monkeypatch)
    await harness.send(await harness.accept([page_view()]))
    async with harness.worker() as worker:

        async def unready() -> bool:
            return DEAF in worker.unready()

        async def ready() -> bool:
            return worker.unready() == []

        await harness.until(unready)
        assert deafness.opened > 2
        deafness.holds = False
        await harness.stored(1)
        await harness.until(ready)


async def test_a_worker_with_an_empty_queue_keeps_its_receivers(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lanes, "STALLED_SECONDS", 0.5)
    deafness = Deafness(monkeypatch)
    deafness.holds = False
    async with harness.worker() as worker:
        await asyncio.sleep(3)
        assert worker.unready() == []
        # A turn that lasts longer than the bound is no silence.
        harness.backends.cosmos.set_faults(delayMilliseconds=1500)
        try:
            await harness.send(await harness.accept([page_view()]))
            await harness.settled()
        finally:
            harness.backends.cosmos.set_faults()
    assert deafness.opened == 2
