from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest
from azure.servicebus import ServiceBusMessage
from azure.servicebus.aio import ServiceBusClient
from azure.servicebus.exceptions import OperationTimeoutError, ServiceBusError, ServiceBusServerBusyError
from tests.servers.servicebus import ServiceBusServer, servicebus_server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

TIMEOUT_SECONDS = 10


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceBusServer]:
    with servicebus_server(tmp_path_factory.mktemp("faulty"), queues=["events"]) as server:
        yield server


@pytest.fixture
async def client(faulty: ServiceBusServer) -> AsyncIterator[ServiceBusClient]:
    async with ServiceBusClient.from_connection_string(faulty.connection_string, retry_total=0) as connected:
        yield connected
        faulty.set_faults()


async def test_a_throttled_broker_is_busy(client: ServiceBusClient, faulty: ServiceBusServer) -> None:
    async with client.get_queue_sender("events") as sender:
        faulty.set_faults(throttle=True)
        with pytest.raises(ServiceBusServerBusyError):
            await sender.send_messages(ServiceBusMessage("busy"))
        faulty.set_faults()
        await sender.send_messages(ServiceBusMessage("free"))


async def test_a_failing_broker_refuses_messages(client: ServiceBusClient, faulty: ServiceBusServer) -> None:
    async with client.get_queue_sender("events") as sender:
        faulty.set_faults(failRatio=1)
        with pytest.raises(ServiceBusError):
            await sender.send_messages(ServiceBusMessage("fails"))
        faulty.set_faults()


async def test_a_delayed_broker_answers_late(client: ServiceBusClient, faulty: ServiceBusServer) -> None:
    async with client.get_queue_sender("events") as sender:
        faulty.set_faults(delayMilliseconds=300)
        started = time.monotonic()
        await sender.send_messages(ServiceBusMessage("slow"))
        assert time.monotonic() - started >= 0.3
        faulty.set_faults()


async def test_a_stalled_broker_goes_on_where_it_was(client: ServiceBusClient, faulty: ServiceBusServer) -> None:
    async with client.get_queue_sender("events") as sender:
        faulty.set_faults(stall=True)
        sending = asyncio.create_task(sender.send_messages(ServiceBusMessage("stalled")))
        done, _ = await asyncio.wait([sending], timeout=0.5)
        assert not done
        faulty.set_faults()
        await asyncio.wait_for(sending, TIMEOUT_SECONDS)


async def test_a_dropped_acknowledgement_leaves_the_message_stored(
    client: ServiceBusClient, faulty: ServiceBusServer
) -> None:
    async with client.get_queue_sender("events") as sender:
        faulty.set_faults(dropAcknowledgements=True)
        with pytest.raises(OperationTimeoutError):
            await sender.send_messages(ServiceBusMessage("unheard"), timeout=1)
        faulty.set_faults()
    async with client.get_queue_receiver("events") as receiver:
        assert "unheard" in {str(message) for message in await receiver.peek_messages(100)}
