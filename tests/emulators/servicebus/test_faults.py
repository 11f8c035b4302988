from __future__ import annotations

import asyncio
import datetime
import json
import time
from typing import TYPE_CHECKING, Any

import pytest
import requests
from azure.servicebus import ServiceBusMessage
from azure.servicebus._base_handler import _generate_sas_token
from azure.servicebus.aio import ServiceBusClient
from azure.servicebus.exceptions import OperationTimeoutError, ServiceBusError, ServiceBusServerBusyError
from tests.servers.servicebus import KEY_NAME, ServiceBusServer, servicebus_server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

TIMEOUT_SECONDS = 10


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceBusServer]:
    with servicebus_server(tmp_path_factory.mktemp("faulty"), queues=["events"]) as server:
        yield server


def set_faults(server: ServiceBusServer, **faults: Any) -> None:
    signature = _generate_sas_token(f"https://{server.host}", KEY_NAME, server.key, datetime.timedelta(minutes=5)).token
    requests.put(
        f"{server.management_url}/$faults",
        data=json.dumps(faults),
        headers={"Authorization": str(signature)},
        verify=str(server.certificate_authority),
        timeout=TIMEOUT_SECONDS,
    ).raise_for_status()


@pytest.fixture
async def client(faulty: ServiceBusServer) -> AsyncIterator[ServiceBusClient]:
    async with ServiceBusClient.from_connection_string(faulty.connection_string, retry_total=0) as connected:
        yield connected
        set_faults(faulty)


async def test_a_throttled_broker_is_busy(client: ServiceBusClient, faulty: ServiceBusServer) -> None:
    async with client.get_queue_sender("events") as sender:
        set_faults(faulty, throttle=True)
        with pytest.raises(ServiceBusServerBusyError):
            await sender.send_messages(ServiceBusMessage("busy"))
        set_faults(faulty)
        await sender.send_messages(ServiceBusMessage("free"))


async def test_a_failing_broker_refuses_messages(client: ServiceBusClient, faulty: ServiceBusServer) -> None:
    async with client.get_queue_sender("events") as sender:
        set_faults(faulty, failRatio=1)
        with pytest.raises(ServiceBusError):
            await sender.send_messages(ServiceBusMessage("fails"))
        set_faults(faulty)


async def test_a_delayed_broker_answers_late(client: ServiceBusClient, faulty: ServiceBusServer) -> None:
    async with client.get_queue_sender("events") as sender:
        set_faults(faulty, delayMilliseconds=300)
        started = time.monotonic()
        await sender.send_messages(ServiceBusMessage("slow"))
        assert time.monotonic() - started >= 0.3
        set_faults(faulty)


async def test_a_stalled_broker_goes_on_where_it_was(client: ServiceBusClient, faulty: ServiceBusServer) -> None:
    async with client.get_queue_sender("events") as sender:
        set_faults(faulty, stall=True)
        sending = asyncio.create_task(sender.send_messages(ServiceBusMessage("stalled")))
        done, _ = await asyncio.wait([sending], timeout=0.5)
        assert not done
        set_faults(faulty)
        await asyncio.wait_for(sending, TIMEOUT_SECONDS)


async def test_a_dropped_acknowledgement_leaves_the_message_stored(
    client: ServiceBusClient, faulty: ServiceBusServer
) -> None:
    async with client.get_queue_sender("events") as sender:
        set_faults(faulty, dropAcknowledgements=True)
        with pytest.raises(OperationTimeoutError):
            await sender.send_messages(ServiceBusMessage("unheard"), timeout=1)
        set_faults(faulty)
    async with client.get_queue_receiver("events") as receiver:
        assert "unheard" in {str(message) for message in await receiver.peek_messages(100)}
