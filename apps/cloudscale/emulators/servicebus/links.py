"""The server's ends of links: clients send on one kind, receive on another, and ask questions on a third."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import TYPE_CHECKING

from cloudscale.emulators.servicebus import frames
from cloudscale.emulators.servicebus.codec import CodecError
from cloudscale.emulators.servicebus.conditions import ConditionError, MessageTooLargeError
from cloudscale.emulators.servicebus.message import BATCH_FORMAT, for_delivery, parse, unbatch

if TYPE_CHECKING:
    from cloudscale.emulators.servicebus.broker import Broker
    from cloudscale.emulators.servicebus.channel import Channel
    from cloudscale.emulators.servicebus.performatives import Flow, Transfer
    from cloudscale.emulators.servicebus.queue import Queue
    from cloudscale.emulators.servicebus.sessions import Session
    from cloudscale.emulators.servicebus.stored import StoredMessage

MAX_MESSAGE_BYTES = 1024 * 1024
SENDER_CREDIT = 1000
_MODULO = 2**32

Receive = Callable[[bytes, int], None]
"""Takes a whole message and its message format; raises :class:`ConditionError` to reject it."""


class IncomingLink:
    """A link on which the client sends: puts the parts of messages together and answers with their outcome."""

    def __init__(
        self, channel: Channel, broker: Broker, handle: int, *, receive: Receive, check: Callable[[], None]
    ) -> None:
        self.check = check
        self._channel = channel
        self._broker = broker
        self._handle = handle
        self._receive = receive
        self._delivery_count = 0
        self._granted = SENDER_CREDIT
        self._parts = bytearray()
        self._first: Transfer | None = None

    def start(self) -> None:
        """Let the client send."""
        self._channel.grant(self._handle, self._delivery_count, SENDER_CREDIT)

    def on_transfer(self, transfer: Transfer, payload: memoryview) -> None:
        """Take a part of a message in."""
        first = self._first or transfer
        if transfer.aborted:
            self._first = None
            self._parts.clear()
            return
        if transfer.more or self._first is not None:
            self._first = first
            self._parts += payload
            # A little more than the maximum is let in, so that the refusal is that of one message.
            if len(self._parts) > 2 * MAX_MESSAGE_BYTES:
                self._channel.detach(self._handle, self._too_large(len(self._parts)))
                return
            if transfer.more:
                return
            data = bytes(self._parts)
            self._parts.clear()
            self._first = None
        else:
            data = bytes(payload)
        self._finish(first, data)

    def _finish(self, transfer: Transfer, data: bytes) -> None:
        outcome = frames.ACCEPTED
        try:
            if len(data) > MAX_MESSAGE_BYTES:
                raise self._too_large(len(data))
            self._receive(data, transfer.message_format or 0)
        except ConditionError as error:
            outcome = frames.rejected(error.condition, str(error))
        except CodecError as error:
            outcome = frames.rejected("amqp:decode-error", str(error))
        self._delivery_count = (self._delivery_count + 1) % _MODULO
        self._granted -= 1
        delivery = transfer.delivery_id or 0
        if not transfer.settled and not self._broker.faults.drop_acknowledgements:
            self._channel.dispose(delivery, delivery, outcome, receiver=True)
        if self._granted <= SENDER_CREDIT // 2:
            self._granted = SENDER_CREDIT
            self._channel.grant(self._handle, self._delivery_count, SENDER_CREDIT)

    def _too_large(self, size: int) -> MessageTooLargeError:
        return MessageTooLargeError(f"a message of {size} octets exceeds the maximum of {MAX_MESSAGE_BYTES}: split it")


def sends_to(broker: Broker, queue: Queue) -> Receive:
    """Build what a sender's link does: put messages and batches of messages into a queue."""

    def receive(data: bytes, message_format: int) -> None:
        broker.faults.check()
        description = queue.description
        with_identity = description.requires_session or description.requires_duplicate_detection
        parts = unbatch(data) if message_format == BATCH_FORMAT else [data]
        queue.send([parse(part, with_identity=with_identity) for part in parts])

    return receive


class OutgoingLink:
    """A link on which the client receives messages of a queue: a :class:`queue.Consumer`."""

    def __init__(
        self,
        channel: Channel,
        handle: int,
        queue: Queue,
        *,
        dead: bool,
        deletes: bool,
        check: Callable[[], None],
    ) -> None:
        self.handle = handle
        self.queue = queue
        self.dead = dead
        self.deletes = deletes
        self.check = check
        self.session: Session | None = None
        self.credit = 0
        self.delivery_count = 0
        self.draining = False
        self._channel = channel

    def start(self, session: Session | None) -> None:
        """Begin to take messages, of a session if one is given."""
        self.session = session
        self.queue.subscribe(self, dead=self.dead)

    def deliver(self, message: StoredMessage, token: bytes) -> None:
        """Send a message to the client."""
        self.credit -= 1
        self.delivery_count = (self.delivery_count + 1) % _MODULO
        state = message.delivery_state(source=self.queue.description.name)
        payload = for_delivery(self.queue.storage.payload(message), state)
        delivery = self._channel.send_message(self.handle, payload, token, settled=self.deletes)
        if not self.deletes:
            self._channel.unsettled[delivery] = (self, token)

    def on_flow(self, flow: Flow) -> None:
        """Take new credit; a drain uses up what no message can (2.6.7)."""
        if flow.link_credit is not None:
            seen = self.delivery_count if flow.delivery_count is None else flow.delivery_count
            self.credit = max(0, flow.link_credit - (self.delivery_count - seen) % _MODULO)
        self.draining = flow.drain
        self.queue.pump_for(self, dead=self.dead)
        if self.draining:
            self.delivery_count = (self.delivery_count + self.credit) % _MODULO
            self.credit = 0
        if self.draining or flow.echo:
            self._channel.echo_flow(self)
        self.draining = False

    def give_back(self, token: bytes, *, counted: bool) -> None:
        """Return a message that was delivered and not settled, unless its lock is gone already."""
        if token in self.queue.locked:
            self.queue.abandon(token, counted=counted)

    def close(self, *, counted: bool) -> None:
        """Take no more messages and give the session free."""
        self.queue.unsubscribe(self, dead=self.dead, counted=counted)


class ReplyLink:
    """A link on which the client gets answers of ``$cbs`` or ``$management``; ``path`` says of which."""

    def __init__(self, channel: Channel, handle: int, path: str, check: Callable[[], None]) -> None:
        self.handle = handle
        self.path = path
        self.check = check
        self.credit = 0
        self.delivery_count = 0
        self.draining = False
        self._channel = channel
        self._waiting: list[bytes] = []

    def reply(self, payload: bytes) -> None:
        """Send an answer as soon as there is credit for it."""
        self._waiting.append(payload)
        self._send()

    def on_flow(self, flow: Flow) -> None:
        """Take new credit."""
        if flow.link_credit is not None:
            seen = self.delivery_count if flow.delivery_count is None else flow.delivery_count
            self.credit = max(0, flow.link_credit - (self.delivery_count - seen) % _MODULO)
        self._send()
        if flow.drain:
            self.delivery_count, self.credit = (self.delivery_count + self.credit) % _MODULO, 0
        if flow.drain or flow.echo:
            self.draining = flow.drain
            self._channel.echo_flow(self)
            self.draining = False

    def close(self, *, counted: bool) -> None:  # noqa: ARG002 — the interface's signature
        """Drop the answers that wait."""
        self._waiting.clear()

    def _send(self) -> None:
        while self._waiting and self.credit > 0:
            self.credit -= 1
            self.delivery_count = (self.delivery_count + 1) % _MODULO
            tag = random.randbytes(16)  # noqa: S311 — no secret
            self._channel.send_message(self.handle, self._waiting.pop(0), tag, settled=True)
