"""The emulator as a whole when its disk fails."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gc
import resource
from typing import TYPE_CHECKING

import pytest
from azure.servicebus import ServiceBusMessage
from azure.servicebus.aio import ServiceBusClient
from azure.servicebus.exceptions import ServiceBusError
from tests.servers.servicebus import ServiceBusServer, servicebus_server

from cloudscale.emulators.servicebus import certificate, server
from cloudscale.emulators.servicebus.authorization import SharedAccessKey
from cloudscale.emulators.servicebus.broker import Broker
from cloudscale.emulators.servicebus.description import QueueDescription
from cloudscale.emulators.servicebus.journal import JournalError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# The SDK leaves the socket of a broken connection to the garbage collector.
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

TIMEOUT_SECONDS = 10
ROOM_BYTES = 20_000


@pytest.fixture(autouse=True)
def _collect_broken_connections() -> Iterator[None]:
    yield
    gc.collect()


async def send_until_refused(emulator: ServiceBusServer) -> int:
    """Send more than there is room for; return how many messages were acknowledged."""
    acknowledged = 0
    client = ServiceBusClient.from_connection_string(emulator.connection_string, retry_total=0)
    with contextlib.suppress(ServiceBusError):
        async with client, client.get_queue_sender("events") as sender:
            while acknowledged * 1000 <= ROOM_BYTES:
                await sender.send_messages(ServiceBusMessage(b"x" * 1000))
                acknowledged += 1
    return acknowledged


async def test_a_full_disk_ends_the_emulator_and_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    with servicebus_server(tmp_path, queues=["events"]) as emulator:
        _, hard = resource.prlimit(emulator.process.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(emulator.process.pid, resource.RLIMIT_FSIZE, (ROOM_BYTES, hard))
        acknowledged = await send_until_refused(emulator)
        assert emulator.process.wait(TIMEOUT_SECONDS) == 2
        # Not the last line perhaps: measuring coverage wants room for a file, too.
        (error,) = [line for line in emulator.log_file.read_text().splitlines() if line.startswith("error: ")]
        assert "make room and restart" in error
        assert emulator.process.stdout is not None
        emulator.process.stdout.close()
        emulator.start()
        async with (
            ServiceBusClient.from_connection_string(emulator.connection_string) as again,
            again.get_queue_receiver("events") as receiver,
        ):
            assert len(await receiver.peek_messages(100)) >= acknowledged > 0


async def test_a_journal_that_fails_in_a_timer_ends_the_server_with_its_own_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Segments this small are full, and their state superseded, before the first tick.
    monkeypatch.setattr(server, "Broker", functools.partial(Broker, segment_bytes=100))
    settings = server.Settings(
        data_directory=tmp_path,
        key=SharedAccessKey("name", "key"),
        certificate=certificate.issue(tmp_path / "tls", []),
        port=0,
        management_port=0,
        queues=(QueueDescription(name="first"), QueueDescription(name="second")),
    )

    def lose_the_oldest_segment(_: server.Ports) -> None:
        min((tmp_path / "journal").glob("*.journal")).unlink()

    with pytest.raises(JournalError, match="cannot be deleted"):
        async with asyncio.timeout(TIMEOUT_SECONDS):
            await server.serve(settings, ready=lose_the_oldest_segment, stop=asyncio.Event())
