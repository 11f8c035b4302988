from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import socket
import ssl
from typing import TYPE_CHECKING

import structlog

from cloudscale.emulators.servicebus.listener import DualListener

if TYPE_CHECKING:
    from collections.abc import Iterator

TIMEOUT_SECONDS = 10
TURNS = 50


class Greeting(asyncio.Protocol):
    """Says a word to whoever comes."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.write(b"hello")
        transport.close()


@contextlib.contextmanager
def no_descriptor_left() -> Iterator[None]:
    """Let the process open nothing for a while."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = os.dup(0)
    os.close(free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_without_descriptors_the_listener_pauses_and_then_accepts() -> None:
    listener = DualListener(Greeting, ssl.create_default_context(ssl.Purpose.CLIENT_AUTH))
    listener.listen("127.0.0.1", 0)
    with socket.create_connection(("127.0.0.1", listener.port)) as client, structlog.testing.capture_logs() as logs:
        client.settimeout(0)
        client.send(b"G")
        with no_descriptor_left():
            for _ in range(TURNS):
                await asyncio.sleep(0)
        assert [entry["event"] for entry in logs] == ["connection not accepted"]
        async with asyncio.timeout(TIMEOUT_SECONDS):
            assert await asyncio.get_running_loop().sock_recv(client, 5) == b"hello"
    await listener.close()
