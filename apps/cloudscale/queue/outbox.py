"""Sends a worker's own messages to the queue: dead letters on their way, and checks that are due later."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Self

import structlog
from azure.servicebus.exceptions import MessageSizeExceededError

from cloudscale.queue.connection import translated

if TYPE_CHECKING:
    from collections.abc import Sequence

    from azure.servicebus import ServiceBusMessage
    from azure.servicebus.aio import ServiceBusClient, ServiceBusSender

log = structlog.get_logger(__name__)

SEND_SECONDS = 30.0
CLOSE_SECONDS = 2.0


class Outbox:
    """A sender that opens its connection with the first message, since most workers rarely send one."""

    def __init__(self, client: ServiceBusClient, queue: str) -> None:
        self._client = client
        self._queue = queue
        self._sender: ServiceBusSender | None = None
        self._lock = asyncio.Lock()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._sender is None:
            return
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._sender.close()
        except Exception as error:  # the SDK raises whatever its socket does, and what was sent is acknowledged
            log.debug("a sender was not closed in order", queue=self._queue, error=str(error))

    async def send(self, messages: Sequence[ServiceBusMessage]) -> None:
        """Send the messages; they are all acknowledged when this returns.

        Raises:
            BackendUnavailableError, CredentialError: some may have been sent; sending all again is what remains.
        """
        if not messages:
            return
        # One sender is one link, and a link that several tasks use at once mixes their answers.
        async with self._lock:
            with translated(f"send {len(messages)} messages"):
                if self._sender is None:
                    self._sender = self._client.get_queue_sender(self._queue)
                async with asyncio.timeout(SEND_SECONDS):
                    try:
                        await self._sender.send_messages(list(messages))
                    except MessageSizeExceededError:
                        for message in messages:
                            await self._sender.send_messages(message)
