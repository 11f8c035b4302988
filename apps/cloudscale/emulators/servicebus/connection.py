"""One AMQP connection: protocol headers, SASL, frames, heartbeats (OASIS AMQP 1.0, parts 2.2 to 2.4 and 5.3)."""

from __future__ import annotations

import asyncio
import struct
import time
from collections import deque
from typing import TYPE_CHECKING, cast

import structlog

from cloudscale.emulators.servicebus import frames, performatives
from cloudscale.emulators.servicebus.authorization import Claim, Right, required
from cloudscale.emulators.servicebus.channel import Channel
from cloudscale.emulators.servicebus.codec import CodecError
from cloudscale.emulators.servicebus.conditions import UnauthorizedError
from cloudscale.emulators.servicebus.performatives import Close, ErrorDetail, Open, Performative, SaslInitialise

if TYPE_CHECKING:
    from cloudscale.emulators.servicebus.broker import Broker
    from cloudscale.emulators.servicebus.server import Connections

AMQP_HEADER = b"AMQP\x00\x01\x00\x00"
SASL_HEADER = b"AMQP\x03\x01\x00\x00"
MAX_FRAME_SIZE = 65536
SMALLEST_MAX_FRAME_SIZE = 512
IDLE_TIMEOUT_SECONDS = 240.0
CHANNEL_MAX = 4095
FOREVER = float("inf")
HTTP_HEADER = b"GET "
NO_WEBSOCKETS = "AMQP over WebSockets is not supported by this emulator"

_SIZE = struct.Struct(">I")
_CHANNEL = struct.Struct(">H")

log = structlog.get_logger(__name__)


class Connection(asyncio.Protocol):
    """The server's end of a connection."""

    def __init__(self, broker: Broker, connections: Connections) -> None:
        self.broker = broker
        self.max_frame_size = MAX_FRAME_SIZE
        self.claims: dict[str, Claim] = {}
        self.channels: dict[int, Channel] = {}
        self._ended: set[int] = set()
        self.transport: asyncio.Transport | None = None
        self._connections = connections
        self._received = bytearray()
        self._output: list[bytes] = []
        self._delayed: deque[tuple[float, bytes]] = deque()
        self._loop = asyncio.get_running_loop()
        self._last_received = self._last_sent = self._loop.time()
        self._heartbeat_seconds = FOREVER
        self._closing = False

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Note the transport."""
        self.transport = cast("asyncio.Transport", transport)
        self._connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 — the interface's signature
        """Return what the client held; a broken connection counts as a failed delivery."""
        self._connections.discard(self)
        # A journal that failed records no return; the restart brings the messages back.
        if not self.broker.journal.failure:
            self._release(counted=not self._closing)
        self.transport = None

    def _release(self, *, counted: bool) -> None:
        """End all sessions and return what the client held.

        All links end before the first message returns: one of them would be given it.
        """
        for channel in self.channels.values():
            channel.end_links(counted=counted)
        for channel in self.channels.values():
            channel.give_back(counted=counted)
        self.channels.clear()

    def data_received(self, data: bytes) -> None:
        """Take in octets and handle the frames that are complete."""
        self._received += data
        self._last_received = self._loop.time()
        self.process()

    def process(self) -> None:
        """Handle the frames that are here, unless the broker is told to stall."""
        if self.broker.faults.stall or self._closing:
            return
        data = bytes(self._received)
        position = 0
        try:
            while len(data) - position >= 8 and self.transport is not None and not self._closing:
                if data[position : position + 4] == b"AMQP":
                    self._on_header(data[position : position + 8])
                    position += 8
                    continue
                if not self.channels and data[position : position + 4] == HTTP_HEADER:
                    self._refuse_http()
                    break
                size = _frame_size(data, position)
                if len(data) - position < size:
                    break
                self._on_frame(data[position : position + size])
                position += size
        except CodecError as error:
            self._fail("amqp:decode-error", str(error))
        finally:
            del self._received[:position]

    # output

    def write(self, channel: int, body: bytes, kind: int = 0) -> None:
        """Queue a frame; it leaves at the end of the turn."""
        self._write_raw(frames.frame(channel, body, kind))

    def _write_raw(self, data: bytes) -> None:
        self._output.append(data)
        self._connections.turn.touch(self)

    def take(self) -> bytes:
        """Give away the octets that wait, see :class:`turn.Outbox`."""
        data = b"".join(self._output)
        self._output.clear()
        return data

    def send(self, data: bytes) -> None:
        """Put octets on the wire, late if the broker is told to delay."""
        delay = self.broker.faults.delay_milliseconds / 1000
        if delay or self._delayed or self.broker.faults.stall:
            self._delayed.append((self._loop.time() + delay, data))
            self._loop.call_later(delay, self.send_delayed)
            return
        self._send_now(data)

    def send_delayed(self) -> None:
        """Send what was held back long enough."""
        while self._delayed and not self.broker.faults.stall and self._delayed[0][0] <= self._loop.time() + 0.001:
            self._send_now(self._delayed.popleft()[1])

    def _send_now(self, data: bytes) -> None:
        if self.transport is not None and data:
            self._last_sent = self._loop.time()
            self.transport.write(data)
        if self._closing and not self._delayed and self.transport is not None:
            self.transport.close()

    # frames

    def _on_header(self, header: bytes) -> None:
        if header == SASL_HEADER:
            self._write_raw(SASL_HEADER)
            mechanisms = performatives.SaslMechanisms(("MSSBCBS", "ANONYMOUS", "PLAIN"))
            self.write(0, mechanisms.encode(), kind=1)
        else:
            self._write_raw(AMQP_HEADER)
            if header != AMQP_HEADER:
                # The answer to an unknown version is the one we speak, then the end (2.2).
                self._closing = True

    def _on_frame(self, data: bytes) -> None:
        start = 4 * data[4]
        if start == len(data):
            return
        channel = _CHANNEL.unpack_from(data, 6)[0]
        body = memoryview(data)[start:]
        performative, offset = performatives.decode_performative(body)
        if isinstance(performative, performatives.Transfer) and (known := self.channels.get(channel)) is not None:
            known.on_transfer(performative, body[offset:])
        else:
            self._on_performative(channel, performative)

    def _on_performative(self, channel: int, performative: Performative) -> None:
        if isinstance(performative, Open):
            self._on_open(performative)
        elif isinstance(performative, SaslInitialise):
            self._on_sasl(performative)
        elif isinstance(performative, Close):
            # At once: a client that reads no more keeps the connection from being closed.
            self._closing = True
            self._release(counted=False)
            self.write(0, Close().encode())
        elif isinstance(performative, performatives.Begin):
            if channel in self.channels or channel > CHANNEL_MAX:
                raise CodecError(f"channel {channel} is in use or above the maximum of {CHANNEL_MAX}")
            self._ended.discard(channel)
            self.channels[channel] = Channel(self, self.broker, channel, performative)
        elif channel in self._ended:
            # Python's SDK detaches its management link after it has ended the session. The service takes no offence.
            return
        elif (known := self.channels.get(channel)) is None:
            raise CodecError(f"a {type(performative).__name__} frame arrived on channel {channel}, which never began")
        elif isinstance(performative, performatives.End):
            known.end_links(counted=False)
            self.write(channel, performatives.End().encode())
            del self.channels[channel]
            self._ended.add(channel)
        else:
            known.on_performative(performative)

    def _on_open(self, peer: Open) -> None:
        self.max_frame_size = max(min(peer.max_frame_size, MAX_FRAME_SIZE), SMALLEST_MAX_FRAME_SIZE)
        if peer.idle_time_out:
            # The peer leaves when it hears nothing for that long, and may have halved the figure already (2.4.5).
            self._heartbeat_seconds = peer.idle_time_out / 1000 / 2
        idle = int(IDLE_TIMEOUT_SECONDS * 1000)
        answer = Open("cloudscale-servicebus", None, MAX_FRAME_SIZE, CHANNEL_MAX, idle)
        self.write(0, answer.encode())

    def _on_sasl(self, initialise: SaslInitialise) -> None:
        result = 0
        if initialise.mechanism == "PLAIN":
            _, _, credential = (initialise.initial_response or b"").decode("utf-8", "replace").partition("\0")
            name, _, password = credential.partition("\0")
            key = next((key for key in self.broker.keys if key.matches(name, password)), None)
            if key is None:
                result = 1
            else:
                self.claims[""] = Claim("", FOREVER, key.rights)
        elif initialise.mechanism not in {"ANONYMOUS", "MSSBCBS"}:
            result = 1
        self.write(0, performatives.SaslOutcome(result).encode(), kind=1)

    def _refuse_http(self) -> None:
        """Answer a client that begins with HTTP, as one does that wants a WebSocket."""
        text = f"{NO_WEBSOCKETS}: connect to this port with TCP\n".encode()
        head = f"HTTP/1.1 501 Not Implemented\r\nContent-Length: {len(text)}\r\nConnection: close\r\n\r\n"
        self._write_raw(head.encode() + text)
        self._closing = True

    def _fail(self, condition: str, description: str) -> None:
        log.warning("connection refused", condition=condition, description=description)
        self.write(0, Close(ErrorDetail(condition, description)).encode())
        self._received.clear()
        self._closing = True

    # time and authorization

    def authorize(self, entity: str, *rights: Right) -> None:
        """Check that a token on this connection allows to use an entity, with one of the rights.

        Raises:
            UnauthorizedError: none does.
        """
        now = time.time()
        claims = [claim for claim in self.claims.values() if claim.covers(entity, now)]
        if not claims:
            raise UnauthorizedError(
                f"no valid token on this connection covers {entity!r}: send one to $cbs first, or renew it"
            )
        if not any(claim.grants(*rights) for claim in claims):
            raise UnauthorizedError(required(*rights))

    def tick(self) -> None:
        """Send a heartbeat, end a connection that is silent, and links whose token or queue is gone."""
        now = self._loop.time()
        if now - self._last_received > IDLE_TIMEOUT_SECONDS and self.transport is not None:
            log.info("connection idle", seconds=round(now - self._last_received))
            self.transport.abort()
        elif now - self._last_sent > self._heartbeat_seconds - 1 and self.transport is not None:
            self._write_raw(frames.frame(0, b""))
        self.check_links()

    def check_links(self) -> None:
        """End the links whose token or queue is gone."""
        for channel in list(self.channels.values()):
            channel.check_links()

    def abort(self) -> None:
        """Drop the connection at once."""
        if self.transport is not None:
            self.transport.abort()

    def shut_down(self) -> None:
        """Tell the client that the broker goes, and close."""
        self._closing = True
        detail = ErrorDetail("amqp:connection:forced", "the emulator is shutting down: connect again")
        self.write(0, Close(detail).encode())


def _frame_size(data: bytes, position: int) -> int:
    size = int(_SIZE.unpack_from(data, position)[0])
    if not 8 <= size <= MAX_FRAME_SIZE:
        raise CodecError(f"a frame claims {size} octets: the maximum is {MAX_FRAME_SIZE}")
    return size
