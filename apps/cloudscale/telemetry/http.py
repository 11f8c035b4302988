"""The HTTP side of a service without one of its own: is it alive, is it ready, what does it measure."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from aiohttp import web

from cloudscale.telemetry import metrics

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable


@asynccontextmanager
async def serve(host: str, port: int, *, unready: Callable[[], list[str]]) -> AsyncIterator[int]:
    """Answer ``/health``, ``/ready`` and ``/metrics``; the block gets the port, chosen by the system when it is 0.

    aiohttp is in memory already, as the transport of the Azure SDKs, so it is the cheapest server to have.

    Args:
        host: address to listen on.
        port: port to listen on.
        unready: what keeps the service from being ready, empty when it is.
    """

    async def health(_: web.Request) -> web.Response:
        return web.json_response({"status": "alive"})

    async def ready(_: web.Request) -> web.Response:
        problems = unready()
        if problems:
            return web.json_response({"status": "unready", "problems": problems}, status=503)
        return web.json_response({"status": "ready"})

    async def measured(_: web.Request) -> web.Response:
        return web.Response(body=metrics.render(), headers={"Content-Type": metrics.CONTENT_TYPE})

    application = web.Application()
    application.add_routes([web.get("/health", health), web.get("/ready", ready), web.get("/metrics", measured)])
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port)
        await site.start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()
