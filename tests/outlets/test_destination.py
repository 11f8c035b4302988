"""Which addresses an outlet connects to: none by which somebody could have it reach what is the pipeline's own."""

from __future__ import annotations

import asyncio
import socket
import ssl
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from aiohttp import ClientSession, TCPConnector
from aiohttp.abc import AbstractResolver, ResolveResult
from tests.outlets.receiving import receiving
from tests.servers.certificate import write_certificate

from cloudscale.outlets.destination import Guard, refusal
from cloudscale.outlets.receiver import Receiver
from cloudscale.pipeline.fields import SecretKey
from cloudscale.pipeline.outlets import Webhook

if TYPE_CHECKING:
    from pathlib import Path

    from tests.outlets.receiving import ReceiverServer

REFUSED = [
    "127.0.0.1",
    "127.255.0.1",
    "10.0.0.1",
    "172.16.0.1",
    "192.168.1.1",
    "100.64.0.1",
    "169.254.169.254",
    "0.0.0.0",  # noqa: S104 - connected to, not bound
    "0.1.2.3",
    "192.0.0.1",
    "198.18.0.1",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "::1",
    "::",
    "fe80::1",
    "fe80::1%eth0",
    "fc00::1",
    "fd12:3456::1",
    "fec0::1",
    "ff02::1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:169.254.169.254",
    "::127.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b:1::a00:1",
    "2002:7f00:1::",
    "2002:a9fe:a9fe::1",
    "2001:db8::1",
]
PUBLIC = ["8.8.8.8", "1.1.1.1", "2606:4700:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"]
NEVER = [
    "169.254.169.254",
    "::ffff:169.254.169.254",
    "64:ff9b::a9fe:a9fe",
    "fe80::1",
    "0.0.0.0",  # noqa: S104 - connected to, not bound
    "::",
    "224.0.0.1",
    "ff02::1",
]


@pytest.mark.parametrize("address", REFUSED)
def test_an_address_that_is_not_public_is_refused(address: str) -> None:
    assert address in refusal(address, allow_private=False)


@pytest.mark.parametrize("address", PUBLIC)
def test_a_public_address_is_connected_to(address: str) -> None:
    assert refusal(address, allow_private=False) == ""


@pytest.mark.parametrize("address", NEVER)
def test_no_outlet_connects_to_link_local_addresses(address: str) -> None:
    assert "no address of a receiver" in refusal(address, allow_private=True)


@pytest.mark.parametrize("address", ["127.0.0.1", "10.1.2.3", "::1", "fd00::1", "100.64.0.1", "8.8.8.8"])
def test_an_outlet_that_may_connects_to_private_addresses(address: str) -> None:
    assert refusal(address, allow_private=True) == ""


def webhook(url: str, **fields: Any) -> Webhook:
    return Webhook(url=url, secret_ref=SecretKey(name="hook", key="secret"), **fields)


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "127.1", "2130706433", "0x7f000001"],
)
async def test_this_machine_is_not_reached_under_any_of_its_names(receiver: ReceiverServer, host: str) -> None:
    async with Receiver(webhook(f"http://{host}:{receiver.port}/hooks"), authority_file="") as sender:
        answer = await sender.post(b"{}", {})
    assert answer.status is None
    assert "cannot be reached" in answer.problem
    assert receiver.requests == []
    # The client refuses by itself what is an address in no usual form.
    assert "is not a public address" in answer.problem or "is not a canonical IPv4 address" in answer.problem


async def test_the_metadata_service_is_not_reached_even_by_an_outlet_that_may_connect_to_private_addresses() -> None:
    given = webhook("http://169.254.169.254/latest", allow_private=True)
    async with Receiver(given, authority_file="") as sender:
        answer = await sender.post(b"{}", {})
    assert "169.254.169.254 is no address of a receiver" in answer.problem


class Answers(AbstractResolver):
    """A resolver that answers differently each time, as a server of names may that wants to get past a check."""

    def __init__(self, *addresses: str) -> None:
        self.addresses = list(addresses)

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        address = self.addresses.pop(0) if len(self.addresses) > 1 else self.addresses[0]
        flags = socket.AI_NUMERICHOST
        return [ResolveResult(hostname=host, host=address, port=port, family=family, proto=0, flags=flags)]

    async def close(self) -> None:
        pass


async def test_a_name_that_comes_to_mean_a_private_address_is_refused_when_it_does(receiver: ReceiverServer) -> None:
    resolver = Answers("192.0.2.1", "127.0.0.1")
    connector = TCPConnector(resolver=resolver, use_dns_cache=False, socket_factory=Guard(allow_private=False))
    async with ClientSession(connector=connector) as session:
        for _ in range(2):
            with pytest.raises(OSError, match="is not a public address"):
                await session.post(f"http://crm.example:{receiver.port}/hooks")
    assert receiver.requests == []


async def test_a_redirect_is_not_followed(receiver: ReceiverServer) -> None:
    receiver.secret = ""
    receiver.status, receiver.headers = 307, {"Location": receiver.url}
    receiver.is_signed = lambda *_: True  # type: ignore[method-assign]
    async with Receiver(webhook(receiver.url, allow_private=True), authority_file="") as sender:
        answer = await sender.post(b"{}", {})
    assert (answer.status, len(receiver.requests)) == (307, 1)
    assert "redirects are not followed" in answer.problem


async def test_a_receiver_that_hangs_is_given_up_after_the_timeout(receiver: ReceiverServer) -> None:
    receiver.hangs = True
    given = msgspec.structs.replace(webhook(receiver.url, allow_private=True), timeout="1s")
    async with Receiver(given, authority_file="") as sender:
        answer = await sender.post(b"{}", {})
    assert answer.problem == "no answer within 1 s"


async def test_an_endless_answer_is_not_read_to_its_end() -> None:
    closed = asyncio.Event()

    async def pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n")
        try:
            while True:
                writer.write(b"x" * 10_000)
                await writer.drain()
        except ConnectionError:
            closed.set()
        finally:
            writer.close()

    server = await asyncio.start_server(pour, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with Receiver(webhook(f"http://127.0.0.1:{port}/", allow_private=True), authority_file="") as sender:
        answer = await sender.post(b"{}", {})
        assert answer.is_taken
        await asyncio.wait_for(closed.wait(), 30)
    server.close()


async def test_only_a_certificate_that_somebody_vouches_for_is_accepted(tmp_path: Path) -> None:
    write_certificate(tmp_path, "receiver")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(tmp_path / "tls.crt", tmp_path / "tls.key")
    async with receiving(certificate=context) as receiver:
        given = webhook(f"https://127.0.0.1:{receiver.port}/hooks", allow_private=True)
        async with Receiver(given, authority_file="") as sender:
            answer = await sender.post(b"{}", {})
        assert "certificate verify failed" in answer.problem.lower()
        assert receiver.requests == []
        async with Receiver(given, authority_file=str(tmp_path / "tls.crt")) as sender:
            answer = await sender.post(b"{}", {})
        assert answer.status == 401
