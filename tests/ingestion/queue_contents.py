"""What really is in a queue, read with the official SDK."""

from __future__ import annotations

import time
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, Any

import msgspec
from azure.servicebus import ServiceBusClient
from azure.servicebus.exceptions import ServiceBusError
from azure.servicebus.management import ServiceBusAdministrationClient

from cloudscale.queue.connection import NO_KEEP_ALIVE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from azure.servicebus import ServiceBusReceiver
    from tests.servers.servicebus import ServiceBusServer

RECEIVE_SECONDS = 5
DRAIN_SECONDS = 60
SOCKET_SECONDS = 0.02


class QueueContents:
    """Takes out what is in one queue. The receiver stays open, because the SDK takes a second to open and close one."""

    def __init__(self, broker: ServiceBusServer, queue: str, administration: ServiceBusAdministrationClient) -> None:
        self._broker = broker
        self._queue = queue
        self._connection = ExitStack()
        self._receiver: ServiceBusReceiver | None = None
        self._administration = administration

    def drain(self) -> list[dict[str, Any]]:
        """Take all events out of the queue."""
        return [event for message in self.drain_messages() for event in message]

    def drain_messages(self) -> list[list[dict[str, Any]]]:
        """Take all messages out of the queue; the events of each.

        The broker is asked how many there are, so that nobody has to wait for messages that do not come.
        """
        taken: list[list[dict[str, Any]]] = []
        deadline = time.monotonic() + DRAIN_SECONDS
        while self._administration.get_queue_runtime_properties(self._queue).active_message_count:
            assert time.monotonic() < deadline, f"the queue {self._queue} was not drained within {DRAIN_SECONDS} s"
            received: list[list[dict[str, Any]]] = []
            with suppress(ServiceBusError):
                received += self._receive()
            taken += received
            if not received:
                # The broker was killed since the last time, which the SDK may say or not notice.
                self.disconnect()
        return taken

    def disconnect(self) -> None:
        """Close the receiver."""
        self._receiver = None
        self._connection.close()

    def _receive(self) -> Iterator[list[dict[str, Any]]]:
        if self._receiver is None:
            client = ServiceBusClient.from_connection_string(
                self._broker.connection_string, socket_timeout=SOCKET_SECONDS
            )
            self._connection.enter_context(client)
            self._receiver = self._connection.enter_context(
                client.get_queue_receiver(self._queue, keep_alive=NO_KEEP_ALIVE)
            )
        for message in self._receiver.receive_messages(max_message_count=100, max_wait_time=RECEIVE_SECONDS):
            events = msgspec.json.decode(b"".join(message.body))
            self._receiver.complete_message(message)
            yield events


@contextmanager
def queue_contents(broker: ServiceBusServer, queue: str = "events-ingestion") -> Iterator[QueueContents]:
    """A reader of one queue, for as long as the context lasts."""
    with ServiceBusAdministrationClient.from_connection_string(
        broker.administration_connection_string, connection_verify=str(broker.certificate_authority)
    ) as administration:
        contents = QueueContents(broker, queue, administration)
        try:
            yield contents
        finally:
            contents.disconnect()
