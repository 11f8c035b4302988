from __future__ import annotations

import asyncio
import gc
from typing import TYPE_CHECKING

import pytest
from azure.servicebus import ServiceBusMessage
from azure.servicebus.aio import ServiceBusClient
from tests.servers.servicebus import ServiceBusServer, servicebus_server

from cloudscale.queue.connection import NO_KEEP_ALIVE
from cloudscale.queue.peeking import Peeking
from cloudscale.queue.receiver import MessageReceiver

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

QUEUE = "peeked"


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceBusServer]:
    with servicebus_server(tmp_path_factory.mktemp("broker"), queues=[QUEUE]) as server:
        yield server


class Link:
    """What is tested, and the receivers that it has opened."""

    def __init__(self, client: ServiceBusClient) -> None:
        self.made: list[MessageReceiver] = []
        self.peeking = Peeking(lambda: self._make(client))

    def _make(self, client: ServiceBusClient) -> MessageReceiver:
        self.made.append(MessageReceiver(client, QUEUE, keep_alive_seconds=NO_KEEP_ALIVE))
        return self.made[-1]

    async def bodies(self) -> list[bytes]:
        """The messages that are there."""
        return [b"".join(message.body) for message in await self.peeking.peek(10)]


@pytest.fixture
async def link(broker: ServiceBusServer) -> AsyncIterator[Link]:
    async with ServiceBusClient.from_connection_string(broker.connection_string, retry_total=0) as client:
        async with client.get_queue_sender(QUEUE, keep_alive=NO_KEEP_ALIVE) as sender:
            await sender.send_messages(ServiceBusMessage(b"here"))
        made = Link(client)
        yield made
        await made.peeking.close()


async def test_one_link_serves_every_look(link: Link) -> None:
    seen = [(await link.bodies())[0] for _ in range(3)]
    assert seen == [b"here"] * 3
    assert len(link.made) == 1


async def test_looks_at_the_same_time_have_their_own_answers(link: Link) -> None:
    first = await link.peeking.peek(1)
    answers = await asyncio.gather(
        *(link.peeking.peek(1, after=after) for after in (0, first[0].sequence_number or 0, 2**40))
    )
    assert [message.sequence_number for message in answers[0]] == [first[0].sequence_number]
    assert answers[2] == []


# The SDK leaves the socket of a connection that breaks to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_a_link_that_the_broker_has_ended_is_opened_again(link: Link, broker: ServiceBusServer) -> None:
    assert b"here" in await link.bodies()
    broker.kill()
    broker.start()
    assert b"here" in await link.bodies()
    assert len(link.made) == 2
    # Here, where the warnings are expected, and not in a later test.
    gc.collect()
