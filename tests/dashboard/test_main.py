"""How the dashboard's process ends."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import TYPE_CHECKING

import pytest

from cloudscale.dashboard import __main__ as main

if TYPE_CHECKING:
    from granian.server.embed import Server

WITHIN_SECONDS = 30


class DeafServer:
    """Serves until it is cancelled: what Granian does when it misses the end of its own thread."""

    def __init__(self) -> None:
        self.started = asyncio.Event()
        self.told = asyncio.Event()
        self.cancelled = False

    async def serve(self) -> None:
        self.started.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.cancelled = True

    def stop(self) -> None:
        self.told.set()


class FailingServer(DeafServer):
    """Cannot serve at all."""

    async def serve(self) -> None:
        raise OSError("the port is taken")


async def serve(server: DeafServer) -> None:
    as_granian: Server = server  # type: ignore[assignment] # what is used of it
    async with asyncio.timeout(WITHIN_SECONDS):
        await main._serve(as_granian, stop_seconds=0.1)


async def test_a_server_that_does_not_hear_of_its_end_does_not_keep_the_process() -> None:
    server = DeafServer()
    serving = asyncio.create_task(serve(server))
    await server.started.wait()

    os.kill(os.getpid(), signal.SIGTERM)
    await serving

    assert server.told.is_set()
    assert server.cancelled


async def test_a_server_that_fails_says_why() -> None:
    with pytest.raises(OSError, match="the port is taken"):
        await serve(FailingServer())
