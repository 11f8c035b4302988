"""Sends packed events to the queue; what it returns from has been acknowledged by the broker."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Self

import structlog
from azure.servicebus import ServiceBusMessage

from cloudscale.errors import BackendError, BackendUnavailableError
from cloudscale.queue.connection import NO_KEEP_ALIVE, open_client, translated

if TYPE_CHECKING:
    import uuid
    from collections.abc import Sequence

    from azure.servicebus.aio import ServiceBusSender

    from cloudscale.pipeline import Queue
    from cloudscale.settings import Settings

log = structlog.get_logger(__name__)

OPEN_SECONDS = 5.0
SEND_SECONDS = 5.0
CLOSE_SECONDS = 2.0

IDLE_SECONDS = 120.0

MAXIMUM_TRANSFER_BYTES = 200 * 1024
"""Bodies that go into one transfer; with its headers it stays below the 256 KiB of the Standard tier."""


class EventSender:
    """One link to the queue, for one task at a time. It reconnects by itself: the next send after a failure tries anew.

    Args:
        spec: the queue.
        settings: where the namespace is.
        pipeline: name of the pipeline, an application property of each message.
        send_seconds: how long the broker may take to acknowledge a send.
        idle_seconds: a link that was not used for so long is opened anew, so that the first request after a quiet night
            is not refused: Service Bus closes a connection that it has heard nothing from for four minutes.
    """

    def __init__(
        self,
        spec: Queue,
        settings: Settings,
        *,
        pipeline: str,
        send_seconds: float = SEND_SECONDS,
        idle_seconds: float = IDLE_SECONDS,
    ) -> None:
        self._spec = spec
        self._settings = settings
        self._send_seconds = send_seconds
        self._idle_seconds = idle_seconds
        self._properties: dict[str | bytes, int | float | bytes | bool | str | uuid.UUID] = {"pipeline": pipeline}
        self._resources = AsyncExitStack()
        self._sender: ServiceBusSender | None = None
        self._used_at = 0.0
        self._opening = asyncio.Lock()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.disconnect()

    async def connect(self) -> None:
        """Open the link if it is not open.

        Raises:
            BackendUnavailableError, CredentialError: it cannot be opened.
        """
        if self._sender is not None:
            return
        # The service connects when it starts, and so does its first group if it comes before that is done.
        async with self._opening:
            if self._sender is None:
                await self._open()

    async def _open(self) -> None:
        try:
            with translated(f"open the queue {self._spec.name}"):
                async with asyncio.timeout(OPEN_SECONDS):
                    # The callers retry with the same event; retries of the SDK would only keep them waiting.
                    client = await self._resources.enter_async_context(
                        open_client(self._spec, self._settings, retries=0)
                    )
                    # A keep-alive that takes the answer which a send waits for makes it wait for another frame, until
                    # its read gives up after 200 ms, and all requests of its group with it.
                    sender = client.get_queue_sender(self._spec.name, keep_alive=NO_KEEP_ALIVE)
                    self._sender = await self._resources.enter_async_context(sender)
        except BackendError:
            await self.disconnect()
            raise
        self._used_at = time.monotonic()

    async def send(self, bodies: Sequence[bytes]) -> None:
        """Send message bodies; all are acknowledged when this returns.

        Raises:
            OutcomeUnknownError: no answer in time; some or all may have arrived.
            BackendUnavailableError: the broker did not take all of them.
            CredentialError: the broker refuses the credential.
        """
        if time.monotonic() - self._used_at > self._idle_seconds:
            await self.disconnect()
        await self.connect()
        sender = self._sender
        if sender is None:
            raise BackendUnavailableError(f"the queue {self._spec.name} is being closed: send the events again")
        messages = [
            ServiceBusMessage(body, content_type="application/json", application_properties=self._properties)
            for body in bodies
        ]
        try:
            with translated(f"send {len(messages)} messages to the queue {self._spec.name}"):
                async with asyncio.timeout(self._send_seconds):
                    start = 0
                    for end in _transfer_ends(bodies):
                        await sender.send_messages(messages[start] if end - start == 1 else messages[start:end])
                        start = end
        except BaseException:
            # A link whose transfer was interrupted may answer the next one with this one's outcome.
            await self.disconnect()
            raise
        self._used_at = time.monotonic()

    async def disconnect(self) -> None:
        """Close the link; never raises, because what matters has been answered by then."""
        resources, self._resources, self._sender = self._resources, AsyncExitStack(), None
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await resources.aclose()
        except Exception as error:  # the SDK raises whatever its socket does
            log.debug("a link was not closed in order", queue=self._spec.name, error=str(error))


def _transfer_ends(bodies: Sequence[bytes]) -> list[int]:
    ends, size = [], 0
    for index, body in enumerate(bodies):
        if size and size + len(body) > MAXIMUM_TRANSFER_BYTES:
            ends.append(index)
            size = 0
        size += len(body)
    return [*ends, len(bodies)]
