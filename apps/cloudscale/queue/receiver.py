"""Peek-locks messages of the queue or of its dead-letter sub-queue, keeps their locks, and settles them.

One receiver is used by one task: it receives, processes and settles in turn. The SDK shares one socket lock between
reading and writing, so a settlement beside a waiting receive would wait for it.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Self

import structlog
from azure.servicebus import ServiceBusReceiveMode, ServiceBusSubQueue
from azure.servicebus.amqp import AmqpMessageBodyType
from azure.servicebus.exceptions import ServiceBusError

from cloudscale.errors import BackendUnavailableError
from cloudscale.queue.connection import KEEP_ALIVE_SECONDS, translated
from cloudscale.queue.range_settlement import RangeRefusedError, RangeUnconfirmedError, complete_range, ranges
from cloudscale.queue.sdk_logs import readable
from cloudscale.tasks import cancel_and_wait, start_task

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    from azure.servicebus import ServiceBusReceivedMessage
    from azure.servicebus.aio import ServiceBusClient, ServiceBusReceiver

log = structlog.get_logger(__name__)

IDLE_SECONDS = 1
"""A receive on an empty queue returns after this long, so that its caller can look for a reason to stop."""

BATCH_WAIT_SECONDS = 0.05
"""How long to wait for more messages after the first: more events in a turn make fuller batches of the store. A read of
the SDK that finds nothing lasts 200 ms, so that a lone message waits that long."""

RECEIVE_SECONDS = 20.0
CLOSE_SECONDS = 10.0
UNBOUNDED_BYTES = 1 << 62

RENEWAL_SHARE = 0.5
"""A lock is renewed when this share of its time is left."""

RENEWAL_SECONDS = 1.0
"""Pause between looks at the locks at the least, however short they are."""


class MessageReceiver:
    """Receives messages of one queue, as an async context manager.

    Closing it gives back what was fetched ahead and not handed out, without raising its delivery count.
    """

    def __init__(
        self,
        client: ServiceBusClient,
        queue: str,
        *,
        prefetch: int = 0,
        sub_queue: ServiceBusSubQueue | None = None,
        keep_alive_seconds: int = KEEP_ALIVE_SECONDS,
    ) -> None:
        self._receiver: ServiceBusReceiver = client.get_queue_receiver(
            queue,
            sub_queue=sub_queue,
            receive_mode=ServiceBusReceiveMode.PEEK_LOCK,
            prefetch_count=prefetch,
            max_wait_time=IDLE_SECONDS,
            keep_alive=keep_alive_seconds,
        )
        self._completes_ranges = True

    async def __aenter__(self) -> Self:
        with translated("open a receiver"):
            await self._receiver.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        with translated("close a receiver"):
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._receiver.close()

    async def receive(self, limit: int, *, body_bytes: int = UNBOUNDED_BYTES) -> list[ServiceBusReceivedMessage]:
        """Up to ``limit`` messages with bodies of about ``body_bytes`` in all; none after a while without any.

        These are the messages that arrived within moments of the first.

        Raises:
            BackendUnavailableError, CredentialError: the broker cannot be used; the next call connects again. Also when
                the SDK does not return in time: it waits by the time of day, which may be set back.
        """
        messages: list[ServiceBusReceivedMessage] = []
        try:
            with translated("receive messages"):
                async with asyncio.timeout(RECEIVE_SECONDS):
                    await self._receive_batch(messages, limit=limit, body_bytes=body_bytes)
        except BackendUnavailableError:
            await self.release(messages)
            raise
        # A message fetched ahead can outlive its lock; the broker delivers it again, to another worker perhaps.
        now = datetime.now(UTC)
        return [message for message in messages if is_locked(message, now)]

    async def _receive_batch(self, messages: list[ServiceBusReceivedMessage], *, limit: int, body_bytes: int) -> None:
        """Receive into ``messages``."""
        try:
            # An iterating receive returns as soon as a message is there; a batch receive waits to be full.
            messages.append(await anext(self._receiver))
        except StopAsyncIteration:
            return
        size = len(body_of(messages[0]))
        while len(messages) < limit and size < body_bytes:
            # Messages differ in size, so what is left is shared out by the mean of those that are there.
            wanted = min(limit - len(messages), max(1, (body_bytes - size) * len(messages) // max(size, 1)))
            more = await self._receiver.receive_messages(wanted, max_wait_time=BATCH_WAIT_SECONDS)
            messages += more
            if len(more) < wanted:
                return
            size += sum(len(body_of(message)) for message in more)

    async def complete(self, messages: Sequence[ServiceBusReceivedMessage]) -> None:
        """Remove messages from the queue. One whose lock is lost comes again, which is harmless and only logged."""
        for part in ranges(messages):
            if len(part) == 1 or not self._completes_ranges:
                await self._settle("complete", part, by=self._receiver.complete_message)
            else:
                await self._complete_range(part)

    async def _complete_range(self, messages: Sequence[ServiceBusReceivedMessage]) -> None:
        try:
            if not await complete_range(self._receiver, messages):
                await self._settle("complete", messages, by=self._receiver.complete_message)
        except RangeRefusedError as error:
            log.warning(
                "messages not settled: they come again", action="complete", of=len(messages), error=readable(str(error))
            )
        except RangeUnconfirmedError as error:
            # A broker that answers the first delivery of a range alone is asked for each from now on.
            self._completes_ranges = False
            log.warning(
                "messages perhaps not settled: those that are not come again, and more are settled one by one",
                messages=len(messages),
                error=readable(str(error)),
            )

    async def abandon(self, messages: Sequence[ServiceBusReceivedMessage]) -> None:
        """Give messages back for another delivery, which raises their delivery count."""
        await self._settle("abandon", messages, by=self._receiver.abandon_message)

    async def release(self, messages: Sequence[ServiceBusReceivedMessage]) -> None:
        """Give messages back that nothing was wrong with: their delivery count does not rise."""
        # The SDK uses this outcome when it closes a receiver; it only lacks a public name for it.
        for message in messages:
            try:
                settle = self._receiver._handler.settle_messages_async  # noqa: SLF001
                await settle(message._delivery_id, message._delivery_tag, "released")  # noqa: SLF001
            except Exception as error:  # the SDK raises whatever its socket does
                # It takes the parts of a connection away when that breaks, and then stumbles over their absence.
                is_closed = isinstance(error, AttributeError)
                reason = "the connection to the broker is closed" if is_closed else readable(str(error))
                log.warning("messages not released: their locks will expire", error=reason)
                return

    async def dead_letter(self, message: ServiceBusReceivedMessage, *, reason: str, description: str) -> None:
        """Move a message to the dead-letter sub-queue."""
        settle = partial(self._receiver.dead_letter_message, reason=reason, error_description=description)
        await self._settle("dead-letter", [message], by=settle)

    async def peek(self, count: int, *, after: int = 0) -> list[ServiceBusReceivedMessage]:
        """Read up to ``count`` messages with sequence numbers above ``after`` without locking them."""
        with translated("peek at messages"):
            return await self._receiver.peek_messages(max_message_count=count, sequence_number=after + 1)

    @asynccontextmanager
    async def locked(self, messages: Sequence[ServiceBusReceivedMessage]) -> AsyncIterator[None]:
        """Renew the locks of ``messages`` in time for as long as the block runs."""
        renewal = start_task(self._keep_locked(messages), name="lock-renewal")
        try:
            yield
        finally:
            await cancel_and_wait(renewal)

    async def _keep_locked(self, messages: Sequence[ServiceBusReceivedMessage]) -> None:
        held = {message.sequence_number: message for message in messages}
        while held:
            seconds = min(map(seconds_left, held.values()))
            await asyncio.sleep(max(seconds * RENEWAL_SHARE, RENEWAL_SECONDS))
            for number, message in list(held.items()):
                if seconds_left(message) > seconds:
                    continue
                try:
                    await self._receiver.renew_message_lock(message)
                except ServiceBusError as error:
                    log.warning("lock lost", sequence_number=number, error=readable(str(error)))
                    del held[number]

    async def _settle(
        self,
        action: str,
        messages: Sequence[ServiceBusReceivedMessage],
        *,
        by: Callable[[ServiceBusReceivedMessage], Awaitable[None]],
    ) -> None:
        failures: list[str] = []
        # One after the other: of several that wait for their answers at once, one reads the answer of another, which
        # then waits for a frame that does not come, for the 200 ms that the SDK gives a read.
        for message in messages:
            try:
                await by(message)
            except (ServiceBusError, ValueError) as error:
                failures.append(readable(str(error)))
        if failures:
            count = len(failures)
            log.warning("messages not settled: they come again", action=action, messages=count, error=failures[0])


def body_of(message: ServiceBusReceivedMessage) -> bytes:
    """The message's body in one piece.

    Of a message with an AMQP value or sequence, which other senders may use, it is the value as text.
    """
    body = message.body
    if message.body_type is AmqpMessageBodyType.DATA:
        return body if isinstance(body, bytes) else b"".join(body)
    if message.body_type is AmqpMessageBodyType.SEQUENCE:
        body = list(body)
    return body if isinstance(body, bytes) else str(body).encode()


def is_locked(message: ServiceBusReceivedMessage, now: datetime) -> bool:
    """Whether the message's lock still holds at ``now``."""
    return message.locked_until_utc is None or message.locked_until_utc > now


def seconds_left(message: ServiceBusReceivedMessage) -> float:
    """Until the message's lock expires."""
    if message.locked_until_utc is None:
        return 0.0
    return message.locked_until_utc.timestamp() - time.time()
