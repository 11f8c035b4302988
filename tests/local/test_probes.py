from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from cloudscale.local.ports import find_free_ports
from cloudscale.local.probes import HttpProbe, RedisProbe, TcpProbe

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

HOST = "127.0.0.1"


@asynccontextmanager
async def answering(answer: bytes) -> AsyncIterator[int]:
    """A server that reads a request and gives one answer; the port it listens on."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1024)
        writer.write(answer)
        writer.close()

    server = await asyncio.start_server(handle, HOST, 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


@pytest.mark.parametrize(
    ("answer", "succeeds"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\n", True),
        (b"HTTP/1.1 503 Service Unavailable\r\n\r\n", False),
        (b"HTTP/1.1 two hundred\r\n\r\n", False),
        (b"SSH-2.0-OpenSSH\r\n", False),
        (b"", False),
    ],
)
async def test_an_http_probe_wants_a_good_status(answer: bytes, *, succeeds: bool) -> None:
    async with answering(answer) as port:
        assert await HttpProbe(HOST, port, "/ready").succeeds() is succeeds


async def test_an_http_probe_can_take_a_refusal_for_an_answer() -> None:
    async with answering(b"HTTP/1.1 401 Unauthorized\r\n\r\n") as port:
        assert await HttpProbe(HOST, port, "/", below=600).succeeds()


@pytest.mark.parametrize(
    ("answer", "succeeds"),
    [
        (b"+OK\r\n+PONG\r\n", True),
        (b"-WRONGPASS invalid username-password pair\r\n-NOAUTH Authentication required.\r\n", False),
        (b"+OK\r\n-LOADING Redis is loading the dataset in memory\r\n", False),
    ],
)
async def test_a_redis_probe_wants_a_pong(answer: bytes, *, succeeds: bool) -> None:
    async with answering(answer) as port:
        assert await RedisProbe(HOST, port, "password").succeeds() is succeeds


async def test_a_tcp_probe_wants_every_port_to_listen() -> None:
    (closed,) = find_free_ports(HOST, 1)
    async with answering(b"") as port:
        assert await TcpProbe(HOST, (port,)).succeeds()
        assert not await TcpProbe(HOST, (port, closed)).succeeds()


async def test_a_server_that_says_nothing_fails_the_probe_in_time() -> None:
    release = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await release.wait()
        writer.close()

    server = await asyncio.start_server(silent, HOST, 0)
    async with server:
        assert not await HttpProbe(HOST, server.sockets[0].getsockname()[1], "/ready", within_seconds=0.1).succeeds()
        release.set()
