"""A queue of its own for one test, with its administration and receivers."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Self

from azure.servicebus import ServiceBusMessage, ServiceBusSubQueue

from cloudscale.queue.administration import QueueAdministration, QueueDepth
from cloudscale.queue.connection import NO_KEEP_ALIVE, open_client
from cloudscale.queue.receiver import MessageReceiver
from cloudscale.settings import Settings

if TYPE_CHECKING:
    from tests.servers.servicebus import ServiceBusServer

    from cloudscale.pipeline import Queue


def settings_of(broker: ServiceBusServer) -> Settings:
    return Settings(
        pipeline_file="",
        redis_url="",
        servicebus_connection_string=broker.connection_string,
        servicebus_management_url=broker.management_url,
        certificate_authority_file=str(broker.certificate_authority),
    )


class Line:
    """A queue of its own for one test."""

    def __init__(self, broker: ServiceBusServer, spec: Queue) -> None:
        self.spec = spec
        self._settings = settings_of(broker)
        self._exits = AsyncExitStack()

    async def __aenter__(self) -> Self:
        self.administration = await self._exits.enter_async_context(QueueAdministration(self.spec, self._settings))
        await self.administration.ensure_queue()
        self.client = await self._exits.enter_async_context(open_client(self.spec, self._settings))
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._exits.aclose()

    async def send(self, *bodies: str) -> None:
        async with self.client.get_queue_sender(self.spec.name, keep_alive=NO_KEEP_ALIVE) as sender:
            await sender.send_messages([ServiceBusMessage(body) for body in bodies])

    async def depth(self) -> QueueDepth:
        return await self.administration.depth()

    def receiver(self, prefetch: int = 0, sub_queue: ServiceBusSubQueue | None = None) -> MessageReceiver:
        return MessageReceiver(
            self.client, self.spec.name, prefetch=prefetch, sub_queue=sub_queue, keep_alive_seconds=NO_KEEP_ALIVE
        )
