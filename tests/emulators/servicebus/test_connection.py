"""What the protocol engine does with clients that the SDK does not imitate: frames by hand."""

from __future__ import annotations

import asyncio
import os
import struct
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from azure.servicebus import NEXT_AVAILABLE_SESSION, ServiceBusMessage
from azure.servicebus.exceptions import ServiceBusError
from tests.servers.servicebus import KEY_NAME

from cloudscale.emulators.servicebus.codec import Described, Symbol, decode
from cloudscale.emulators.servicebus.connection import AMQP_HEADER, SASL_HEADER
from cloudscale.emulators.servicebus.frames import disposition_body, frame, transfer_body
from cloudscale.emulators.servicebus.performatives import (
    Attach,
    Begin,
    Close,
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


def deleting_receiver(queue: str) -> bytes:
    source, target = terminus(0x28, [queue]), terminus(0x29, [queue])
    return Attach("deleting", 0, role=True, snd_settle_mode=1, source=source, target=target).encode()


def credit(messages: int) -> bytes:
    return Flow(0, 1000, 0, 1000, handle=0, delivery_count=0, link_credit=messages).encode()


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


@pytest.mark.parametrize(
    "late",
    [Detach(0, closed=True).encode(), Flow(0, 1, 0, 1).encode(), transfer_body(0, 0, b"tag", settled=True, more=False)],
    ids=["detach", "flow", "transfer"],
)
async def test_a_frame_that_comes_after_the_end_of_its_session_is_ignored(wire: Wire, late: bytes) -> None:
    await wire.begin()
    for body in (End().encode(), late, End().encode(), Begin(incoming_window=1, outgoing_window=1).encode()):
        wire.send(body)
    assert [(await wire.read())[0], (await wire.read())[0]] == [END, BEGIN]


@pytest.mark.parametrize("by", ["a receiver", "a sender"])
async def test_the_management_links_of_the_sdk_can_be_closed_without_a_complaint(
    server: ServiceBusServer, client: ServiceBusClient, queue: str, by: str
) -> None:
    with server.log_file.open() as log:
        log.seek(0, os.SEEK_END)
        if by == "a receiver":
            async with client.get_queue_receiver(queue) as receiver:
                await receiver.peek_messages()
        else:
            async with client.get_queue_sender(queue) as sender:
                await sender.schedule_messages(ServiceBusMessage("later"), datetime.now(UTC) + timedelta(hours=1))
        # Its connection is closed when the next one has been served.
        async with client.get_queue_receiver(queue) as other:
            await other.peek_messages()
        assert log.read() == ""


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


async def test_a_client_that_closes_and_reads_no_more_holds_nothing_back(
    wire: Wire, server: ServiceBusServer, queue: str, client: ServiceBusClient
) -> None:
    await wire.sign_in(server.key)
    await wire.begin()
    wire.send(receiver(queue))
    wire.send(credit(100))
    async with client.get_queue_sender(queue) as sender:
        # More than the buffers between the two take: the broker cannot end the connection while they are full.
        for number in range(12):
            await sender.send_messages(ServiceBusMessage(bytes(900_000), message_id=str(number)))
    wire.send(Close().encode())
    received: set[str | None] = set()
    async with client.get_queue_receiver(queue, prefetch_count=12) as other:
        while len(received) < 12:
            batch = await other.receive_messages(12, max_wait_time=TIMEOUT_SECONDS)
            assert batch, f"only {sorted(map(str, received))} were received"
            received |= {message.message_id for message in batch}
    assert received == {str(number) for number in range(12)}


async def test_a_connection_that_breaks_gives_no_message_to_another_link_of_its_own(
    wire: Wire, server: ServiceBusServer, queue: str, client: ServiceBusClient
) -> None:
    await wire.sign_in(server.key)
    await wire.begin()
    wire.send(receiver(queue))
    wire.send(credit(1))
    async with client.get_queue_sender(queue) as sender:
        await sender.send_messages(ServiceBusMessage("one"))
    assert [(await wire.read())[0], (await wire.read())[0]] == [ATTACH, TRANSFER]
    wire.send(Begin(incoming_window=1000, outgoing_window=1000).encode(), channel=1)
    wire.send(deleting_receiver(queue), channel=1)
    wire.send(credit(10), channel=1)
    assert [(await wire.read())[0], (await wire.read())[0]] == [BEGIN, ATTACH]
    wire.writer.transport.abort()
    async with client.get_queue_receiver(queue) as other:
        (message,) = await other.receive_messages(1, max_wait_time=TIMEOUT_SECONDS)
    assert str(message) == "one"


async def test_a_handle_that_is_in_use_cannot_be_attached_again(
    wire: Wire, server: ServiceBusServer, queue: str, client: ServiceBusClient
) -> None:
    await wire.sign_in(server.key)
    await wire.begin()
    wire.send(receiver(queue))
    wire.send(credit(10))
    wire.send(receiver(queue))
    assert [(await wire.read())[0], (await wire.read())[0]] == [ATTACH, CLOSE]
    async with client.get_queue_sender(queue) as sender:
        await sender.send_messages(ServiceBusMessage("one"))
    async with client.get_queue_receiver(queue) as other:
        (message,) = await other.receive_messages(1, max_wait_time=TIMEOUT_SECONDS)
    assert str(message) == "one"


async def test_a_receiver_of_a_subscription_is_told_that_there_are_none(client: ServiceBusClient) -> None:
    with pytest.raises(ServiceBusError, match="not supported by this emulator"):
        async with client.get_subscription_receiver("topic", "subscription") as subscribed:
            await subscribed.receive_messages(1, max_wait_time=1)


@pytest.mark.parametrize("port", ["port", "management_port"])
async def test_a_client_that_wants_a_websocket_is_told_that_there_is_none(server: ServiceBusServer, port: str) -> None:
    reader, writer = await asyncio.open_connection(server.host, getattr(server, port))
    upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Protocol: AMQPWSB10\r\n"
    writer.write(f"GET /$servicebus/websocket/ HTTP/1.1\r\nHost: {server.host}\r\n{upgrade}\r\n".encode())
    async with asyncio.timeout(TIMEOUT_SECONDS):
        answer = await reader.readuntil(b"not supported by this emulator")
    assert answer.startswith(b"HTTP/1.1 501 ")
    writer.close()
