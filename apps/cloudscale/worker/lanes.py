"""A lane receives messages, has their events processed, and settles them, one turn after the other.

A worker has a few lanes, so that one receives while another waits for the store. Each has a receiver of its own: the
SDK's receivers are for one task.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import structlog

from cloudscale.errors import BackendError
from cloudscale.queue.poison import DeadLetterReason, verdict
from cloudscale.queue.receiver import body_of
from cloudscale.store.errors import RequestRefusedError
from cloudscale.worker.persistence import InterruptedByStopError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from azure.servicebus import ServiceBusReceivedMessage

    from cloudscale.circuit_breaker import CircuitBreaker
    from cloudscale.queue.receiver import MessageReceiver
    from cloudscale.worker.processing import Processor

log = structlog.get_logger(__name__)

PAUSE_SECONDS = 1.0
"""Between looks at whether the store takes writes again, and before connecting again to a broker that is away."""


class Lane:
    """One receiver's loop.

    Args:
        connect: makes a receiver; a new one is made after the broker was away.
        processor: processes the events.
        share: how many messages the lane may handle at once at present; 0 pauses it.
        breaker: the store's; while it is open nothing is received, so that nothing is held for nothing.
        stopping: set when the worker is to stop.
    """

    def __init__(
        self,
        *,
        connect: Callable[[], MessageReceiver],
        processor: Processor,
        share: Callable[[], int],
        breaker: CircuitBreaker,
        stopping: asyncio.Event,
    ) -> None:
        self.connected = False
        self._connect = connect
        self._processor = processor
        self._share = share
        self._breaker = breaker
        self._stopping = stopping

    async def run(self) -> None:
        """Work until the worker is to stop; what was fetched ahead goes back to the queue then."""
        is_away = False
        while not self._stopping.is_set():
            try:
                async with self._connect() as receiver:
                    self.connected = True
                    if is_away:
                        log.info("connected to the broker again")
                        is_away = False
                    await self._work(receiver)
            except BackendError as error:
                # Said once an outage, not with each attempt.
                tell = log.debug if is_away else log.warning
                tell("the broker is away, connecting again until it is back", error=str(error))
                is_away = True
                await self._pause()
            finally:
                self.connected = False

    async def _work(self, receiver: MessageReceiver) -> None:
        while not self._stopping.is_set():
            share = self._share()
            if not share or self._breaker.state == "open":
                await self._pause()
                continue
            messages = await receiver.receive(share)
            for message in messages:
                if judged := verdict(message):
                    await receiver.dead_letter(message, reason=judged.reason, description=judged.description)
            await self._turn(receiver, [message for message in messages if not verdict(message)])

    async def _turn(self, receiver: MessageReceiver, messages: Sequence[ServiceBusReceivedMessage]) -> None:
        if not messages:
            return
        try:
            async with receiver.locked(messages):
                unreadable = await self._processor.process([body_of(message) for message in messages])
        except InterruptedByStopError as error:
            log.info("messages go back to the queue", messages=len(messages), reason=str(error))
            await receiver.abandon(messages)
            return
        except RequestRefusedError as error:
            # The store is there and takes other requests.
            log.warning("the store refuses what an event needs", messages=len(messages), error=str(error))
            await self._isolate(receiver, messages, error)
            return
        except BackendError:
            await receiver.abandon(messages)
            raise
        except Exception as error:
            log.exception("events could not be processed", messages=len(messages))
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
