"""The dashboard's application served in the test's own process, with callers of the test's choice."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import aiohttp
from granian.constants import Interfaces
from granian.server.embed import Server

from cloudscale.dashboard.application import build_application
from cloudscale.dashboard.reading.rates import ReadingRates
from cloudscale.local.ports import find_free_ports
from cloudscale.tasks import cancel_and_wait

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from starlette.applications import Starlette

    from cloudscale.dashboard.reading.callers import Callers
    from cloudscale.pipeline import EventPipeline
    from cloudscale.settings import Settings

UNLIMITED = ReadingRates(burst=1_000_000, per_second=1_000_000)
STOP_SECONDS = 5
"""It happens that Granian's own thread ends and its task never hears of it."""


@contextlib.asynccontextmanager
async def serving(application: Starlette) -> AsyncIterator[aiohttp.ClientSession]:
    """A client of an application that is served on a free port for as long as the context lasts."""
    (port,) = find_free_ports("127.0.0.1", 1)
    before = asyncio.all_tasks()
    server = Server(application, address="127.0.0.1", port=port, interface=Interfaces.ASGI)
    task = asyncio.create_task(server.serve())
    stop: Callable[[], None] = server.stop
    url = f"http://127.0.0.1:{port}"
    try:
        async with aiohttp.ClientSession(url) as session:
            async with asyncio.timeout(20):
                while True:
                    with contextlib.suppress(aiohttp.ClientConnectionError):
                        async with session.get("/health"):
                            break
                    await asyncio.sleep(0.02)
            yield session
    finally:
        stop()
        await asyncio.wait({task}, timeout=STOP_SECONDS)
        # The application's own tasks among them, which nobody ends when the server's is cancelled while it stops.
        await cancel_and_wait(task, *(asyncio.all_tasks() - before - {asyncio.current_task()}))


@contextlib.asynccontextmanager
async def reading_client(
    resource: EventPipeline, settings: Settings, *, callers: Callers, rates: ReadingRates = UNLIMITED
) -> AsyncIterator[aiohttp.ClientSession]:
    """A client of a dashboard whose reading API knows ``callers``."""
    application = build_application(resource, settings, callers=callers, reading_rates=rates)
    async with serving(application) as session:
        yield session
