"""What really is in a queue, read with the official SDK."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from azure.servicebus import ServiceBusClient

if TYPE_CHECKING:
    from tests.servers.servicebus import ServiceBusServer


def drain(broker: ServiceBusServer, queue: str = "events-ingestion") -> list[dict[str, Any]]:
    """Take all events out of the queue."""
    events: list[dict[str, Any]] = []
    with (
        ServiceBusClient.from_connection_string(broker.connection_string) as client,
        client.get_queue_receiver(queue, max_wait_time=1) as receiver,
    ):
        while messages := receiver.receive_messages(max_message_count=100, max_wait_time=1):
            for message in messages:
                events += msgspec.json.decode(b"".join(message.body))
                receiver.complete_message(message)
    return events
