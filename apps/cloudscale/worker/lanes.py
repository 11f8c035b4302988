"""A lane receives messages, has their events processed, and settles them, one turn after the other.

A worker has a few lanes, so that one receives while another waits for the store. Each has a receiver of its own: the
SDK's receivers are for one task.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import structlog

from cloudscale.errors import BackendError, BackendUnavailableError
from cloudscale.queue.poison import DeadLetterReason, verdict
from cloudscale.queue.receiver import body_of
from cloudscale.store.errors import RequestRefusedError
from cloudscale.worker.retry_policy import InterruptedByStopError, StoreAwayError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from azure.servicebus import ServiceBusReceivedMessage

    from cloudscale.circuit_breaker import CircuitBreaker
    from cloudscale.queue.receiver import MessageReceiver
    from cloudscale.worker.processing import Processor

log = structlog.get_logger(__name__)

PAUSE_SECONDS = 1.0
"""Between checks whether the store takes writes again, and before connecting again to a broker that is away."""

TURN_BYTES = 1 << 20
"""Bodies of one turn, which bound its memory; well over a thousand events of usual size."""

STALLED_SECONDS = 60.0
"""A lane that receives nothing for so long while messages wait connects again. After twice as long it is not ready."""


class StalledReceiverError(BackendUnavailableError):
    """Messages wait in the queue, and a receiver that looks connected gets none."""


class Lane:
    """One receiver's loop.

    Args:
        connect: makes a receiver; a new one is made after the broker was away.
        processor: processes the events.
        turn_messages: how many messages the lane may take into one turn at present.
        messages_wait: whether the queue has messages that this worker does not hold.
        breaker: the store's; while it is open nothing is received, so that nothing is held for nothing.
        stopping: set when the worker is to stop.
    """

    def __init__(
        self,
        *,
        connect: Callable[[], MessageReceiver],
        processor: Processor,
        turn_messages: Callable[[], int],
        messages_wait: Callable[[], bool],
        breaker: CircuitBreaker,
        stopping: asyncio.Event,
    ) -> None:
        self.connected = False
        self.held = 0
        """Messages of the turn that is being processed."""
        self.waits_for_store = False
        self._connect = connect
        self._processor = processor
        self._turn_messages = turn_messages
        self._messages_wait = messages_wait
        self._breaker = breaker
        self._stopping = stopping
        self._quiet_since = self._connected_at = time.monotonic()

    @property
    def is_stalled(self) -> bool:
        """Whether messages have waited for long and none was received, also by a receiver that was made anew."""
        return self._quiet_seconds() >= 2 * STALLED_SECONDS

    async def run(self) -> None:
        """Work until the worker is to stop; what was fetched ahead goes back to the queue then."""
        is_away = False
        while not self._stopping.is_set():
            try:
                async with self._connect() as receiver:
                    self.connected = True
                    self._connected_at = time.monotonic()
                    if is_away:
                        log.info("connected to the broker again")
                        is_away = False
                    await self._work(receiver)
            except StoreAwayError as error:
                # The receiver is closed, so that nothing which was fetched ahead outlives its lock meanwhile.
                log.warning("the store is away: nothing is received until it is back", error=str(error))
                await self._wait_for_the_store()
            except BackendError as error:
                # Said once an outage, not with each attempt.
                write = log.debug if is_away else log.warning
                write("the broker is away, connecting again until it is back", error=str(error))
                is_away = True
                await self._pause()
            finally:
                self.connected = False

    async def _work(self, receiver: MessageReceiver) -> None:
        while not self._stopping.is_set():
            if self._breaker.state == "open":
                await self._pause()
                self._quiet_since = time.monotonic()
                continue
            messages = await receiver.receive(self._turn_messages(), body_bytes=TURN_BYTES)
            if not messages:
                self._check_stalled()
                continue
            self.held = len(messages)
            try:
                for message in messages:
                    if found := verdict(message):
                        await receiver.dead_letter(message, reason=found.reason, description=found.description)
                await self._turn(receiver, [message for message in messages if not verdict(message)])
            finally:
                self.held = 0
                self._quiet_since = time.monotonic()

    def _check_stalled(self) -> None:
        """Check for how long nothing was received, after a receive that gave nothing.

        Raises:
            StalledReceiverError: messages have been waiting for long.
        """
        quiet = self._quiet_seconds()
        if min(quiet, time.monotonic() - self._connected_at) >= STALLED_SECONDS:
            raise StalledReceiverError(
                f"messages wait in the queue and none was received for {quiet:.0f} s: the receiver is made anew"
            )

    def _quiet_seconds(self) -> float:
        """For how long messages have waited and none was received."""
        if self.held or self.waits_for_store or not self._messages_wait():
            self._quiet_since = time.monotonic()
        return time.monotonic() - self._quiet_since

    async def _wait_for_the_store(self) -> None:
        self.waits_for_store = True
        try:
            await self._processor.wait_for_store()
        except InterruptedByStopError:
            return
        finally:
            self.waits_for_store = False
            self._quiet_since = time.monotonic()

    async def _turn(self, receiver: MessageReceiver, messages: Sequence[ServiceBusReceivedMessage]) -> None:
        if not messages:
            return
        try:
            async with receiver.locked(messages):
                unreadable = await self._processor.process([body_of(message) for message in messages])
        except InterruptedByStopError as error:
            log.info("messages go back to the queue", messages=len(messages), error=str(error))
            await receiver.release(messages)
            return
        except StoreAwayError:
            await receiver.release(messages)
            raise
        except RequestRefusedError as error:
            # The store is there and takes other requests.
            log.warning("the store refuses what an event needs", messages=len(messages), error=str(error))
            await self._isolate(receiver, messages, error)
            return
        except BackendError:
            await receiver.release(messages)
            raise
        except Exception as error:
            log.exception("events could not be processed", messages=len(messages))
            if not await self._processor.store_is_available():
                # A store that fails in the middle of an answer can look like a mistake of the code.
                await receiver.release(messages)
                raise StoreAwayError("the store does not take writes") from error
            await self._isolate(receiver, messages, error)
            return
        await receiver.complete([message for place, message in enumerate(messages) if place not in unreadable])
        for place, description in unreadable.items():
            reason = DeadLetterReason.DESERIALIZATION_FAILED
            number = messages[place].sequence_number
            log.warning("dead letter: a message is no array of events", reason=str(reason), sequence_number=number)
            await receiver.dead_letter(messages[place], reason=reason, description=description)

    async def _isolate(
        self, receiver: MessageReceiver, messages: Sequence[ServiceBusReceivedMessage], error: Exception
    ) -> None:
        """Find the message that the code fails on, so that it cannot take its neighbours along."""
        if len(messages) == 1:
            reason = DeadLetterReason.MAX_RETRIES_EXCEEDED
            await receiver.dead_letter(messages[0], reason=reason, description=f"{type(error).__name__}: {error}")
            return
        for message in messages:
            await self._turn(receiver, [message])

    async def _pause(self) -> None:
        try:
            await asyncio.wait_for(self._stopping.wait(), PAUSE_SECONDS)
        except TimeoutError:
            return
