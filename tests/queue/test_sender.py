"""The sender against the emulator: what it returns from is in the queue, and it finds its way back."""

from __future__ import annotations

import asyncio
import gc
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from azure.servicebus import ServiceBusClient
from tests.servers.servicebus import servicebus_server
from tests.waiting import wait_until

from cloudscale.errors import (
    BackendError,
    BackendUnavailableError,
    ConfigurationError,
    CredentialError,
    OutcomeUnknownError,
)
from cloudscale.pipeline import Queue
from cloudscale.queue import sender as module
from cloudscale.queue.connection import NO_KEEP_ALIVE, open_client
from cloudscale.queue.sender import IDLE_SECONDS, SEND_SECONDS, EventSender
from cloudscale.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from azure.servicebus import ServiceBusReceivedMessage, ServiceBusReceiver
    from tests.servers.servicebus import ServiceBusServer

QUEUE = "sender-test"
RECOVERY = timedelta(seconds=20)

# The SDK leaves a socket to the garbage collector when a connection is cut or cannot be opened.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture(autouse=True)
def collect_left_sockets() -> Iterator[None]:
    """Collect them in the test that left them, where the warning is expected."""
    yield
    gc.collect()


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceBusServer]:
    with servicebus_server(tmp_path_factory.mktemp("broker"), queues=[QUEUE]) as server:
        yield server


def sender_for(
    broker: ServiceBusServer,
    *,
    send_seconds: float = SEND_SECONDS,
    idle_seconds: float = IDLE_SECONDS,
    **changes: Any,
) -> EventSender:
    settings = Settings(pipeline_file="", redis_url="", servicebus_connection_string=broker.connection_string)
    settings = msgspec.structs.replace(settings, **changes)
    return EventSender(
        Queue(name=QUEUE), settings, pipeline="clicks", send_seconds=send_seconds, idle_seconds=idle_seconds
    )


@pytest.fixture(scope="module")
def receiver(broker: ServiceBusServer) -> Iterator[ServiceBusReceiver]:
    with (
        ServiceBusClient.from_connection_string(broker.connection_string) as client,
        client.get_queue_receiver(QUEUE, keep_alive=NO_KEEP_ALIVE) as receiver,
    ):
        yield receiver


def take(receiver: ServiceBusReceiver, count: int) -> list[ServiceBusReceivedMessage]:
    """Take ``count`` messages out of the queue, and make sure that there are no more."""
    taken: list[ServiceBusReceivedMessage] = []
    while messages := receiver.receive_messages(max_message_count=100, max_wait_time=20 if len(taken) < count else 0.1):
        for message in messages:
            receiver.complete_message(message)
        taken += messages
    return taken


def bodies_of(messages: list[ServiceBusReceivedMessage]) -> list[bytes]:
    return [b"".join(message.body) for message in messages]


async def test_what_was_sent_is_in_the_queue_with_its_content_type_and_pipeline(
    broker: ServiceBusServer, receiver: ServiceBusReceiver
) -> None:
    async with sender_for(broker) as sender:
        await sender.send([b"[1]"])
    (message,) = take(receiver, 1)
    assert bodies_of([message]) == [b"[1]"]
    assert message.content_type == "application/json"
    assert message.application_properties == {b"pipeline": b"clicks"}


async def test_bodies_beyond_one_transfer_are_all_sent(broker: ServiceBusServer, receiver: ServiceBusReceiver) -> None:
    bodies = [b'["' + bytes([65 + number]) * 150_000 + b'"]' for number in range(5)]
    async with sender_for(broker) as sender:
        await sender.send(bodies)
    assert bodies_of(take(receiver, len(bodies))) == bodies


async def test_two_that_connect_at_the_same_time_open_one_link(
    broker: ServiceBusServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[Queue] = []

    def counted(spec: Queue, settings: Settings, *, retries: int) -> Any:
        opened.append(spec)
        return open_client(spec, settings, retries=retries)

    monkeypatch.setattr(module, "open_client", counted)
    async with sender_for(broker) as sender:
        await asyncio.gather(sender.connect(), sender.connect())
    assert len(opened) == 1


async def test_a_refused_key_is_a_credential_error(broker: ServiceBusServer) -> None:
    wrong = broker.connection_string.replace(broker.key, "d3Jvbmc=")
    async with sender_for(broker, servicebus_connection_string=wrong) as sender:
        with pytest.raises(CredentialError):
            await sender.send([b"[1]"])


async def test_a_connection_string_that_is_none_is_a_configuration_error(broker: ServiceBusServer) -> None:
    async with sender_for(broker, servicebus_connection_string="nonsense") as sender:
        with pytest.raises(ConfigurationError):
            await sender.connect()


async def test_without_any_namespace_there_is_a_configuration_error(broker: ServiceBusServer) -> None:
    async with sender_for(broker, servicebus_connection_string="") as sender:
        with pytest.raises(ConfigurationError, match=r"spec\.queue\.namespace"):
            await sender.connect()


async def test_an_acknowledgement_that_never_comes_leaves_the_outcome_unknown(
    broker: ServiceBusServer, receiver: ServiceBusReceiver
) -> None:
    async with sender_for(broker, send_seconds=0.5) as sender:
        await sender.connect()
        broker.set_faults(dropAcknowledgements=True)
        try:
            with pytest.raises(OutcomeUnknownError):
                await sender.send([b"[1]"])
        finally:
            broker.set_faults()
        await sender.send([b"[2]"])
    assert bodies_of(take(receiver, 2)) == [b"[1]", b"[2]"]


async def test_nothing_but_a_send_reads_from_its_link(broker: ServiceBusServer) -> None:
    async with sender_for(broker) as sender:
        before = asyncio.all_tasks()
        await sender.connect()
        assert asyncio.all_tasks() == before


@pytest.mark.parametrize(("idle_seconds", "is_kept"), [(IDLE_SECONDS, True), (0.0, False)])
async def test_a_link_that_was_idle_for_long_is_opened_anew(
    broker: ServiceBusServer, receiver: ServiceBusReceiver, idle_seconds: float, *, is_kept: bool
) -> None:
    async with sender_for(broker, idle_seconds=idle_seconds) as sender:
        await sender.send([b"[1]"])
        former = sender._sender
        await sender.send([b"[2]"])
        assert (sender._sender is former) is is_kept
    assert bodies_of(take(receiver, 2)) == [b"[1]", b"[2]"]


async def test_it_sends_again_once_a_killed_broker_is_back(tmp_path: Path) -> None:
    with servicebus_server(tmp_path, queues=[QUEUE]) as broker:
        async with sender_for(broker) as sender:
            await sender.send([b"[1]"])
            broker.kill()
            with pytest.raises(BackendUnavailableError):
                await sender.send([b"[2]"])
            broker.start()

            async def is_sent() -> bool:
                try:
                    await sender.send([b"[3]"])
                except BackendError:
                    return False
                return True

            await wait_until(is_sent, within=RECOVERY)
        with (
            ServiceBusClient.from_connection_string(broker.connection_string) as client,
            client.get_queue_receiver(QUEUE, keep_alive=NO_KEEP_ALIVE) as receiver,
        ):
            assert bodies_of(take(receiver, 2)) == [b"[1]", b"[3]"]
