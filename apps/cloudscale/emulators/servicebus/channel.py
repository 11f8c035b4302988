"""An AMQP session: one channel of a connection, its links, windows and deliveries (OASIS AMQP 1.0, part 2.5)."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from cloudscale.emulators.servicebus import frames
from cloudscale.emulators.servicebus.attachment import attach
from cloudscale.emulators.servicebus.codec import CodecError
from cloudscale.emulators.servicebus.conditions import ConditionError
from cloudscale.emulators.servicebus.performatives import (
    Attach,
    Begin,
    Detach,
    Disposition,
    ErrorDetail,
    Flow,
    Performative,
    Transfer,
)
from cloudscale.emulators.servicebus.settlement import settle

if TYPE_CHECKING:
    from cloudscale.emulators.servicebus.attachment import PendingAttach
    from cloudscale.emulators.servicebus.broker import Broker
    from cloudscale.emulators.servicebus.connection import Connection
    from cloudscale.emulators.servicebus.links import IncomingLink, OutgoingLink, ReplyLink

WINDOW = 2**31 - 1
HANDLE_MAX = 255
TRANSFER_OVERHEAD = 64
_MODULO = 2**32


class Channel:
    """The server's end of a session. Delivery ids count within it (2.5.1)."""

    def __init__(self, connection: Connection, broker: Broker, number: int, begin: Begin) -> None:
        self.connection = connection
        self._broker = broker
        self.number = number
        self.incoming: dict[int, IncomingLink] = {}
        self.outgoing: dict[int, OutgoingLink | ReplyLink] = {}
        self.pending: dict[int, PendingAttach] = {}
        self.unsettled: dict[int, tuple[OutgoingLink, bytes]] = {}
        self._next_incoming = begin.next_outgoing_id
        self._next_delivery = 0
        self._next_transfer = 0
        self._window = begin.incoming_window
        self._blocked: deque[bytes] = deque()
        answer = Begin(number, 0, WINDOW, WINDOW, HANDLE_MAX)
        self.write(answer.encode())

    def write(self, body: bytes) -> None:
        """Queue a frame on this channel."""
        self.connection.write(self.number, body)

    def on_performative(self, performative: Performative) -> None:
        """Handle a frame other than a transfer."""
        if isinstance(performative, Attach):
            attach(self, self._broker, performative)
        elif isinstance(performative, Flow):
            self._on_flow(performative)
        elif isinstance(performative, Disposition):
            self._on_disposition(performative)
        elif isinstance(performative, Detach):
            self._on_detach(performative)
        else:
            raise CodecError(f"a {type(performative).__name__} frame arrived on channel {self.number}")

    def on_transfer(self, transfer: Transfer, payload: memoryview) -> None:
        """Hand a part of a message to its link. Transfers on a link that was just refused are dropped."""
        self._next_incoming = (self._next_incoming + 1) % _MODULO
        link = self.incoming.get(transfer.handle)
        if link is not None:
            link.on_transfer(transfer, payload)

    def send_message(self, handle: int, payload: bytes, tag: bytes, *, settled: bool) -> int:
        """Send a message in as many frames as it takes; return its delivery id."""
        delivery = self._next_delivery
        self._next_delivery = (delivery + 1) % _MODULO
        size = self.connection.max_frame_size - TRANSFER_OVERHEAD
        if len(payload) <= size:
            head = frames.transfer_body(handle, delivery, tag, settled=settled, more=False)
            self._send_transfer(head + payload)
            return delivery
        for start in range(0, len(payload), size):
            more = start + size < len(payload)
            head = frames.transfer_body(handle, delivery, tag, settled=settled, more=more)
            self._send_transfer(head + payload[start : start + size])
        return delivery

    def dispose(self, first: int, last: int, outcome: bytes, *, receiver: bool) -> None:
        """Tell the client the outcome of deliveries."""
        self.write(frames.disposition_body(first, last, outcome, receiver=receiver))

    def detach(self, handle: int, error: ConditionError) -> None:
        """End a link because of an error."""
        self._drop_link(handle, counted=False)
        self.write(Detach(handle, closed=True, error=ErrorDetail(error.condition, str(error))).encode())

    def end_links(self, *, counted: bool) -> None:
        """End all links. The locks of messages stay: the connection may go on without this session."""
        for handle in {*self.incoming, *self.outgoing}:
            self._drop_link(handle, counted=counted)
        for pending in self.pending.values():
            pending.withdraw()
        self.pending.clear()

    def give_back(self, *, counted: bool) -> None:
        """Return the messages that were delivered and not settled."""
        for link, token in self.unsettled.values():
            link.give_back(token, counted=counted)
        self.unsettled.clear()

    def check_links(self) -> None:
        """End the links that may no longer be used."""
        for links in (self.incoming, self.outgoing):
            for handle, link in list(links.items()):
                try:
                    link.check()
                except ConditionError as error:
                    self.detach(handle, error)

    def echo_flow(self, link: OutgoingLink | ReplyLink) -> None:
        """Report the state of a link that was drained, or whose client asks (2.6.7)."""
        self.write(
            Flow(
                self._next_incoming,
                WINDOW,
                self._next_transfer,
                WINDOW,
                link.handle,
                link.delivery_count,
                link.credit,
                0,
                drain=link.draining,
            ).encode()
        )

    def grant(self, handle: int, delivery_count: int, credit: int) -> None:
        """Let the client send ``credit`` messages."""
        self.write(
            Flow(self._next_incoming, WINDOW, self._next_transfer, WINDOW, handle, delivery_count, credit).encode()
        )

    def _send_transfer(self, body: bytes) -> None:
        if self._window <= 0 or self._blocked:
            self._blocked.append(body)
            return
        self._window -= 1
        self._next_transfer = (self._next_transfer + 1) % _MODULO
        self.write(body)

    def _on_flow(self, flow: Flow) -> None:
        # The window the client grants counts from its own idea of our next id (2.5.6).
        self._window = ((flow.next_incoming_id or 0) + flow.incoming_window - self._next_transfer) % _MODULO
        while self._blocked and self._window > 0:
            self._window -= 1
            self._next_transfer = (self._next_transfer + 1) % _MODULO
            self.write(self._blocked.popleft())
        link = None if flow.handle is None else self.outgoing.get(flow.handle)
        if link is not None:
            link.on_flow(flow)

    def _on_disposition(self, disposition: Disposition) -> None:
        last = disposition.first if disposition.last is None else disposition.last
        settle(self, self._broker.faults, disposition, last=last)

    def _on_detach(self, detach: Detach) -> None:
        pending = self.pending.pop(detach.handle, None)
        if pending is not None:
            pending.detach()
        elif self._drop_link(detach.handle, counted=False):
            self.write(Detach(detach.handle, closed=detach.closed).encode())

    def _drop_link(self, handle: int, *, counted: bool) -> bool:
        incoming, outgoing = self.incoming.pop(handle, None), self.outgoing.pop(handle, None)
        if outgoing is not None:
            outgoing.close(counted=counted)
        return incoming is not None or outgoing is not None
