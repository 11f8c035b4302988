"""What the protocol engine does with clients that the SDK does not imitate: frames by hand."""

from __future__ import annotations

import asyncio
import struct
from typing import TYPE_CHECKING, Any

import pytest
from azure.servicebus import NEXT_AVAILABLE_SESSION, ServiceBusMessage
from tests.servers.servicebus import KEY_NAME

from cloudscale.emulators.servicebus.codec import Described, Symbol, decode
from cloudscale.emulators.servicebus.connection import AMQP_HEADER, SASL_HEADER
from cloudscale.emulators.servicebus.frames import disposition_body, frame
from cloudscale.emulators.servicebus.performatives import (
    Attach,
    Begin,
    Detach,
    End,
    Flow,
    Open,
    SaslInitialise,
    terminus,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from azure.servicebus.aio import ServiceBusClient
    from tests.servers.servicebus import ServiceBusServer

TIMEOUT_SECONDS = 10
OPEN, BEGIN, ATTACH, FLOW, TRANSFER, DISPOSITION = 0x10, 0x11, 0x12, 0x13, 0x14, 0x15
DETACH, END, CLOSE, REJECTED, SASL_OUTCOME = 0x16, 0x17, 0x18, 0x25, 0x44
MODIFIED_WITH_BOOLEANS = bytes.fromhex("005327 c00f03 4142 c10a02 a30166 e00402560100")
"""The outcome ``modified`` with an array of booleans among its annotations, which no application property can be."""


class Wire:
    """A connection that sends and reads single frames."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    def send(self, body: bytes, channel: int = 0, kind: int = 0) -> None:
        self.writer.write(frame(channel, body, kind))

    async def read(self) -> tuple[int, list[Any]]:
        async with asyncio.timeout(TIMEOUT_SECONDS):
            (size,) = struct.unpack(">I", await self.reader.readexactly(4))
            body = (await self.reader.readexactly(size - 4))[4:]
        if not body:
            return 0, []
        value, _ = decode(body)
        return value.descriptor, value.value

    async def sign_in(self, key: str) -> int:
        self.writer.write(SASL_HEADER)
        assert await self.reader.readexactly(8) == SASL_HEADER
        await self.read()
        self.send(SaslInitialise("PLAIN", f"\0{KEY_NAME}\0{key}".encode()).encode(), kind=1)
        code, (result, *_) = await self.read()
        assert code == SASL_OUTCOME
        return int(result)

    async def begin(self, **options: Any) -> None:
        self.writer.write(AMQP_HEADER)
        assert await self.reader.readexactly(8) == AMQP_HEADER
        self.send(Open("test", **options).encode())
        self.send(Begin(incoming_window=100, outgoing_window=100).encode())
        assert [(await self.read())[0], (await self.read())[0]] == [OPEN, BEGIN]


@pytest.fixture
async def wire(server: ServiceBusServer) -> AsyncIterator[Wire]:
    reader, writer = await asyncio.open_connection(server.host, server.port)
    yield Wire(reader, writer)
    writer.close()
    await writer.wait_closed()


def receiver(queue: str) -> bytes:
    return Attach("link", 0, role=True, source=terminus(0x28, [queue]), target=terminus(0x29, [queue])).encode()


def next_session_receiver(queue: str) -> bytes:
    source = [queue, None, None, None, None, None, None, {Symbol("com.microsoft:session-filter"): None}]
    return Attach("link", 0, role=True, source=terminus(0x28, source), target=terminus(0x29, [queue])).encode()


async def refusal(wire: Wire) -> str:
    """Read a refused attach: the attach itself, then the detach with the error's condition."""
    code, _ = await wire.read()
    assert code == ATTACH
    code, fields = await wire.read()
    assert code == DETACH
    error = fields[2]
    assert isinstance(error, Described)
    return str(error.value[0])


async def test_sasl_plain_with_the_key_opens_every_queue(wire: Wire, server: ServiceBusServer, queue: str) -> None:
    assert await wire.sign_in(server.key) == 0
    await wire.begin()
    wire.send(receiver(queue))
    code, fields = await wire.read()
    assert code == ATTACH
    assert fields[5].value == [queue]


async def test_sasl_plain_with_a_wrong_key_fails(wire: Wire) -> None:
    assert await wire.sign_in("wrong") == 1


async def test_a_link_without_a_token_is_refused_whether_its_queue_exists_or_not(wire: Wire, queue: str) -> None:
    await wire.begin()
    wire.send(receiver(queue))
    assert await refusal(wire) == "amqp:unauthorized-access"
    wire.send(receiver("missing"))
    assert await refusal(wire) == "amqp:unauthorized-access"


async def test_an_address_that_is_no_url_is_refused_and_the_connection_goes_on(wire: Wire) -> None:
    await wire.begin()
    for _ in range(2):
        wire.send(receiver("sb://[host/queue"))
        assert await refusal(wire) == "com.microsoft:argument-error"


async def test_a_transaction_is_refused(wire: Wire) -> None:
    await wire.begin()
    wire.send(Attach("coordinator", 0, target=terminus(0x30, [])).encode())
    assert await refusal(wire) == "amqp:not-implemented"


async def test_a_drain_is_answered_with_the_credit_used_up(wire: Wire, server: ServiceBusServer, queue: str) -> None:
    await wire.sign_in(server.key)
    await wire.begin()
    wire.send(receiver(queue))
    await wire.read()
    wire.send(Flow(0, 100, 0, 100, handle=0, delivery_count=0, link_credit=10, drain=True).encode())
    code, fields = await wire.read()
    assert code == FLOW
    assert (fields[5], fields[6], fields[8]) == (10, 0, True)


async def test_a_client_that_announces_an_idle_timeout_gets_heartbeats(wire: Wire) -> None:
    await wire.begin(idle_time_out=2000)
    assert await wire.read() == (0, [])


@pytest.mark.parametrize(
    "garbage",
    [b"\xff" * 16, b"\x00\x00\x00\x0c\x02\x00\x00\x00\xff\xff\xff\xff", b"\x00\x00\x00\x09\x02\x00\x00\x00\x40"],
)
async def test_a_broken_frame_closes_the_connection_with_a_reason(wire: Wire, garbage: bytes) -> None:
    await wire.begin()
    wire.writer.write(garbage)
    code, fields = await wire.read()
    assert code == CLOSE
    assert fields[0].value[0] == "amqp:decode-error"
    assert await wire.reader.read() == b""


async def test_a_frame_on_a_channel_that_never_began_closes_the_connection(wire: Wire) -> None:
    await wire.begin()
    wire.send(receiver("queue"), channel=9)
    code, _ = await wire.read()
    assert code == CLOSE


async def test_an_unknown_protocol_version_is_answered_with_ours(wire: Wire) -> None:
    wire.writer.write(b"AMQP\x00\x00\x09\x01")
    assert await wire.reader.readexactly(8) == AMQP_HEADER
    assert await wire.reader.read() == b""


async def test_a_deleted_queue_detaches_its_links(
    wire: Wire, server: ServiceBusServer, queue: str, administration: Any
) -> None:
    await wire.sign_in(server.key)
    await wire.begin()
    wire.send(receiver(queue))
    await wire.read()
    administration.delete_queue(queue)
    code, fields = await wire.read()
    assert code == DETACH
    assert fields[2].value[0] == "amqp:not-found"


async def test_a_queue_that_is_deleted_and_created_anew_detaches_its_links_as_not_found(
    wire: Wire, server: ServiceBusServer, queue: str, administration: Any
) -> None:
    await wire.sign_in(server.key)
    await wire.begin()
    wire.send(receiver(queue))
    await wire.read()
    administration.delete_queue(queue)
    administration.create_queue(queue)
    code, fields = await wire.read()
    assert code == DETACH
    assert fields[2].value[0] == "amqp:not-found"


@pytest.mark.parametrize("leave", [Detach(0, closed=True).encode(), End().encode()], ids=["detach", "end"])
async def test_who_leaves_while_waiting_for_a_session_does_not_lock_the_next_one(
    wire: Wire, server: ServiceBusServer, make_queue: Callable[..., str], client: ServiceBusClient, leave: bytes
) -> None:
    queue = make_queue(requires_session=True)
    await wire.sign_in(server.key)
    await wire.begin()
    wire.send(next_session_receiver(queue))
    wire.send(leave)
    if leave[2] == DETACH:
        code, fields = await wire.read()
        assert (code, fields[5]) == (ATTACH, None)
        assert (await wire.read())[0] == DETACH
    else:
        assert (await wire.read())[0] == END
    async with client.get_queue_sender(queue) as sender:
        await sender.send_messages(ServiceBusMessage("one", session_id="a"))
    async with client.get_queue_receiver(
        queue, session_id=NEXT_AVAILABLE_SESSION, max_wait_time=TIMEOUT_SECONDS
    ) as other:
        assert other.session.session_id == "a"


async def test_a_message_whose_settlement_was_refused_returns_with_its_connection(
    wire: Wire, server: ServiceBusServer, queue: str, client: ServiceBusClient
) -> None:
    async with client.get_queue_sender(queue) as sender:
        await sender.send_messages(ServiceBusMessage("one"))
    await wire.sign_in(server.key)
    await wire.begin()
    wire.send(receiver(queue))
    wire.send(Flow(0, 100, 0, 100, handle=0, delivery_count=0, link_credit=1).encode())
    assert [(await wire.read())[0], (await wire.read())[0]] == [ATTACH, TRANSFER]
    settled = disposition_body(0, 0, MODIFIED_WITH_BOOLEANS, receiver=True)
    wire.send(settled.replace(b"\x41" + MODIFIED_WITH_BOOLEANS, b"\x42" + MODIFIED_WITH_BOOLEANS))
    code, fields = await wire.read()
    assert (code, fields[4].descriptor) == (DISPOSITION, REJECTED)
    assert fields[4].value[0].value[0] == "com.microsoft:argument-error"
    wire.writer.close()
    async with client.get_queue_receiver(queue) as other:
        (message,) = await other.receive_messages(1, max_wait_time=TIMEOUT_SECONDS)
    assert str(message) == "one"
