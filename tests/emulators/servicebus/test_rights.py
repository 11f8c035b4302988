"""Keys with some rights only: what each may do, and what it is refused."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from azure.core.exceptions import ClientAuthenticationError
from azure.servicebus import ServiceBusMessage
from azure.servicebus.aio import ServiceBusClient
from azure.servicebus.exceptions import ServiceBusAuthorizationError
from azure.servicebus.management import ServiceBusAdministrationClient
from tests.servers.process import running
from tests.servers.servicebus import ServiceBusServer

from cloudscale.emulators.servicebus.__main__ import main

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

RIGHTS = {"sender": "Send", "worker": "Listen,Send", "reader": "EntityRead", "listener": "Listen"}
QUEUE = "events"


@pytest.fixture(scope="module")
def guarded_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceBusServer]:
    directory = tmp_path_factory.mktemp("servicebus-rights")
    options = []
    for name, rights in RIGHTS.items():
        (directory / name).write_text(f"key-of-{name}")
        options += ["--shared-access-policy", f"{name}:{rights}:{directory / name}"]
    with running(ServiceBusServer(directory, (QUEUE,), tuple(options))) as server:
        yield server


def of(server: ServiceBusServer, name: str, *, port: int | None = None) -> str:
    host = f"{server.host}:{port or server.port}"
    return f"Endpoint=sb://{host};SharedAccessKeyName={name};SharedAccessKey=key-of-{name};UseDevelopmentEmulator=true"


def client(server: ServiceBusServer, name: str) -> ServiceBusClient:
    return ServiceBusClient.from_connection_string(of(server, name), retry_total=0)


def administration(server: ServiceBusServer, name: str) -> ServiceBusAdministrationClient:
    return ServiceBusAdministrationClient.from_connection_string(
        of(server, name, port=server.management_port), connection_verify=str(server.certificate_authority)
    )


async def test_who_may_send_and_listen_does_both(guarded_server: ServiceBusServer) -> None:
    async with client(guarded_server, "worker") as connected:
        async with connected.get_queue_sender(QUEUE) as sender:
            await sender.send_messages(ServiceBusMessage("one"))
        async with connected.get_queue_receiver(QUEUE) as receiver:
            (message,) = await receiver.receive_messages(max_wait_time=10)
            await receiver.complete_message(message)


async def test_who_may_only_send_neither_receives_nor_peeks(guarded_server: ServiceBusServer) -> None:
    async with client(guarded_server, "sender") as connected:
        async with connected.get_queue_sender(QUEUE) as sender:
            await sender.send_messages(ServiceBusMessage("one"))
            numbers = await sender.schedule_messages(ServiceBusMessage("later"), datetime.now(UTC) + timedelta(hours=1))
            await sender.cancel_scheduled_messages(numbers)
        with pytest.raises(ServiceBusAuthorizationError, match="Listen"):
            async with connected.get_queue_receiver(QUEUE):
                pass


async def test_who_may_only_listen_sends_and_schedules_nothing(guarded_server: ServiceBusServer) -> None:
    async with client(guarded_server, "listener") as connected:
        async with connected.get_queue_receiver(QUEUE) as receiver:
            await receiver.peek_messages()
        with pytest.raises(ServiceBusAuthorizationError, match="Send"):
            async with connected.get_queue_sender(QUEUE):
                pass


async def test_who_may_only_look_reads_the_depth_and_no_message(guarded_server: ServiceBusServer) -> None:
    with administration(guarded_server, "reader") as reading:
        assert reading.get_queue_runtime_properties(QUEUE).name == QUEUE
        with pytest.raises(ClientAuthenticationError, match="Manage"):
            reading.create_queue("another")
        with pytest.raises(ClientAuthenticationError, match="Manage"):
            reading.delete_queue(QUEUE)
    async with client(guarded_server, "reader") as connected:
        with pytest.raises(ServiceBusAuthorizationError, match="Listen"):
            async with connected.get_queue_receiver(QUEUE):
                pass


@pytest.mark.parametrize("name", ["sender", "worker", "listener"])
def test_who_may_not_manage_does_not_read_the_depth(guarded_server: ServiceBusServer, name: str) -> None:
    with (
        administration(guarded_server, name) as managing,
        pytest.raises(ClientAuthenticationError, match="Manage,EntityRead"),
    ):
        managing.get_queue_runtime_properties(QUEUE)


@pytest.mark.parametrize("policy", ["name", "name:Send", "name:Write:{file}", ":Send:{file}", "name:Send:{file}.gone"])
def test_a_policy_that_cannot_be_used_is_named(policy: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "key").write_text("key")
    text = policy.format(file=tmp_path / "key")
    assert main(["--data-dir", str(tmp_path), "--shared-access-policy", text]) == 2
    assert text.rpartition(":")[2] in capsys.readouterr().err
