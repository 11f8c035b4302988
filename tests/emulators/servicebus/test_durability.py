"""What a killed emulator still knows: everything it acknowledged, and nothing that was completed."""

from __future__ import annotations

import asyncio
import datetime
import gc
import random
from typing import TYPE_CHECKING

import pytest
from azure.servicebus import ServiceBusMessage, ServiceBusSubQueue
from azure.servicebus.aio import ServiceBusClient
from azure.servicebus.exceptions import MessageLockLostError, ServiceBusError
from azure.servicebus.management import ServiceBusAdministrationClient
from tests.servers.servicebus import ServiceBusServer, servicebus_server
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# The SDK leaves the socket of a broken connection to the garbage collector.
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

WAIT_SECONDS = 10
ROUNDS = 4
QUIET_SECONDS = 2


@pytest.fixture(autouse=True)
def _collect_broken_connections() -> Iterator[None]:
    yield
    gc.collect()


@pytest.fixture(params=["interval", "always"])
def broker(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[ServiceBusServer]:
    options = ["--fsync", request.param]
    with servicebus_server(tmp_path, queues=["events"], options=options) as server:
        yield server


def connect(server: ServiceBusServer) -> ServiceBusClient:
    return ServiceBusClient.from_connection_string(server.connection_string, retry_total=0)


def administer(server: ServiceBusServer) -> ServiceBusAdministrationClient:
    return ServiceBusAdministrationClient.from_connection_string(
        server.administration_connection_string, connection_verify=str(server.certificate_authority)
    )


async def send_until_killed(server: ServiceBusServer, acknowledged: set[str], name: str) -> None:
    """Send until the connection breaks; note what was acknowledged."""
    try:
        async with connect(server) as client, client.get_queue_sender("events") as sender:
            for number in range(100_000):
                bodies = [f"{name}-{number}-{part}" for part in range(3)]
                await sender.send_messages([ServiceBusMessage(body) for body in bodies])
                acknowledged.update(bodies)
    except (ServiceBusError, OSError):
        return


async def complete_until_killed(server: ServiceBusServer, completed: set[str], attempted: set[str]) -> None:
    """Receive and complete until the connection breaks; note what was attempted and what was acknowledged."""
    try:
        async with connect(server) as client, client.get_queue_receiver("events") as receiver:
            while True:
                for message in await receiver.receive_messages(5, max_wait_time=WAIT_SECONDS):
                    body = str(message)
                    assert body not in completed, f"{body} came again although it was completed"
                    attempted.add(body)
                    await receiver.complete_message(message)
                    completed.add(body)
    except (MessageLockLostError, ServiceBusError, OSError):
        return


async def drain(server: ServiceBusServer) -> list[str]:
    received: list[str] = []
    async with connect(server) as client, client.get_queue_receiver("events", prefetch_count=200) as receiver:
        while messages := await receiver.receive_messages(200, max_wait_time=QUIET_SECONDS):
            for message in messages:
                received.append(str(message))
                await receiver.complete_message(message)
    return received


@pytest.mark.fault
async def test_sigkill_at_random_moments_loses_no_message_and_brings_none_back(broker: ServiceBusServer) -> None:
    dice = random.Random(20240229)
    acknowledged: set[str] = set()
    completed: set[str] = set()
    attempted: set[str] = set()
    for round_number in range(ROUNDS):
        traffic = [
            asyncio.create_task(send_until_killed(broker, acknowledged, f"round{round_number}")),
            asyncio.create_task(complete_until_killed(broker, completed, attempted)),
        ]
        before = len(completed)
        target = dice.randrange(20, 200)

        async def has_progressed(goal: int = before + target, running: list[asyncio.Task[None]] = traffic) -> bool:
            return len(completed) >= goal or any(task.done() for task in running)

        await wait_until(has_progressed, within=datetime.timedelta(seconds=30), interval=datetime.timedelta())
        broker.kill()
        await asyncio.wait_for(asyncio.gather(*traffic), 30)
        broker.start()
    left = await drain(broker)
    assert len(completed) >= 20 * ROUNDS
    assert acknowledged - set(left) - attempted == set()
    assert set(left) & completed == set()
    assert len(left) == len(set(left))


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServiceBusServer]:
    with servicebus_server(tmp_path, queues=["events"]) as running:
        yield running


async def receive_one(client: ServiceBusClient, sub_queue: ServiceBusSubQueue | None = None) -> tuple[str, int, str]:
    async with client.get_queue_receiver("events", sub_queue=sub_queue) as receiver:
        (message,) = await receiver.receive_messages(1, max_wait_time=WAIT_SECONDS)
        return str(message), message.delivery_count or 0, message.dead_letter_reason or ""


@pytest.mark.fault
async def test_dead_deferred_abandoned_and_scheduled_messages_survive_a_kill(server: ServiceBusServer) -> None:
    due = datetime.datetime.now(datetime.UTC) + datetime.timedelta(hours=1)
    async with (
        connect(server) as client,
        client.get_queue_sender("events") as sender,
        client.get_queue_receiver("events") as receiver,
    ):
        await sender.send_messages([ServiceBusMessage(body) for body in ("dead", "deferred", "twice", "ready")])
        await sender.schedule_messages(ServiceBusMessage("scheduled"), due)
        settle = (receiver.dead_letter_message, receiver.defer_message, receiver.abandon_message)
        for index, settlement in enumerate(settle):
            (message,) = await receiver.receive_messages(1, max_wait_time=WAIT_SECONDS)
            assert message.sequence_number == index + 1
            await settlement(message)
    server.kill()
    server.start()
    with administer(server) as administration:
        figures = administration.get_queue_runtime_properties("events")
    assert (figures.active_message_count, figures.dead_letter_message_count) == (2, 1)
    assert (figures.scheduled_message_count, figures.total_message_count) == (1, 5)
    async with connect(server) as client:
        assert (await receive_one(client, ServiceBusSubQueue.DEAD_LETTER))[0] == "dead"
        assert (await receive_one(client))[:2] == ("twice", 1)
        async with client.get_queue_receiver("events") as receiver, client.get_queue_sender("events") as sender:
            (deferred,) = await receiver.receive_deferred_messages(2)
            assert str(deferred) == "deferred"
            await sender.send_messages(ServiceBusMessage("new"))
            (peeked,) = await receiver.peek_messages(1, sequence_number=6)
            assert (str(peeked), peeked.sequence_number) == ("new", 6)


@pytest.mark.fault
async def test_queues_session_states_and_duplicate_history_survive_a_kill(server: ServiceBusServer) -> None:
    with administer(server) as administration:
        administration.create_queue("sessions", requires_session=True)
        administration.create_queue("unique", requires_duplicate_detection=True, max_delivery_count=7)
    async with connect(server) as client:
        async with client.get_queue_receiver("sessions", session_id="one") as receiver:
            await receiver.session.set_state("remembered")
        async with client.get_queue_sender("unique") as sender, client.get_queue_receiver("unique") as receiver:
            await sender.send_messages(ServiceBusMessage("first", message_id="same"))
            (message,) = await receiver.receive_messages(1, max_wait_time=WAIT_SECONDS)
            await receiver.complete_message(message)
    server.kill()
    server.start()
    async with connect(server) as client:
        async with client.get_queue_receiver("sessions", session_id="one") as receiver:
            assert await receiver.session.get_state() == b"remembered"
        async with client.get_queue_sender("unique") as sender:
            await sender.send_messages(ServiceBusMessage("copy", message_id="same"))
    with administer(server) as administration:
        assert administration.get_queue("unique").max_delivery_count == 7
        assert administration.get_queue_runtime_properties("unique").total_message_count == 0


def test_sigterm_ends_in_good_order(tmp_path: Path) -> None:
    with servicebus_server(tmp_path) as server:
        assert server.stop() == 0
