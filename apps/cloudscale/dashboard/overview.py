"""The overview: the last hour as series, and a stream of what happens now."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING

import msgspec
from redis.exceptions import RedisError
from starlette.responses import StreamingResponse
from starlette.routing import Route

from cloudscale.dashboard.health import Health, assess, stale
from cloudscale.dashboard.points import Point, as_columns, restricted
from cloudscale.dashboard.responses import JsonResponse, RefusedError
from cloudscale.dashboard.service_levels import Attainment, attainments
from cloudscale.dashboard.sessions import viewer_of
from cloudscale.errors import BackendError
from cloudscale.telemetry import metrics

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.requests import Request
    from starlette.responses import Response

    from cloudscale.dashboard.access import Viewer
    from cloudscale.dashboard.collector import Collector
    from cloudscale.pipeline import PipelineSpec

REPEAT_SECONDS = 2.0
"""Without a new point the last one is sent again after this long, with its age, so that it is not taken for new."""


class Longest(msgspec.Struct, frozen=True):
    """The longest times that are measured, in milliseconds: a value of so much may be any longer time."""

    ingestion: float = metrics.INGESTION_BUCKETS_SECONDS[-1] * 1000
    lag: float = metrics.LAG_BUCKETS_SECONDS[-1] * 1000
    store: float = metrics.STORE_BUCKETS_SECONDS[-1] * 1000


class Now(msgspec.Struct, frozen=True, rename="camel"):
    """One message of the stream. ``kept`` says that the point belongs to the series."""

    point: Point
    kept: bool
    service_levels: list[Attainment]
    health: Health | None
    """None for a viewer of some tenants, unless the figures are too old."""
    longest: Longest = Longest()


def now(collector: Collector, viewer: Viewer, spec: PipelineSpec) -> Now:
    """The newest point and what it means, as far as the viewer may see it."""
    point, at = collector.latest, time.time()
    levels = attainments(collector.tallies)
    health = stale(point, at=at)
    if health is None and viewer.tenants is None:
        health = assess(collector.points, point, levels, spec=spec, at=at)
    kept = bool(collector.points) and collector.points[-1] is point
    return Now(restricted(point, viewer.tenants), kept, levels, health)


async def history(request: Request) -> Response:
    """The series of the last hour, or of the ``span`` day or week, one list a field."""
    viewer = await viewer_of(request)
    collector: Collector = request.app.state.collector
    spec = request.app.state.backends.resource.spec
    span = request.query_params.get("span") or "hour"
    kept = {"hour": collector.points} | {name: each.points for name, each in collector.long_series.items()}
    if span not in kept:
        raise RefusedError(400, f"Ask for the span {', '.join(kept)}.")
    points = [restricted(point, viewer.tenants) for point in kept[span]]
    return JsonResponse({"series": as_columns(points), "now": now(collector, viewer, spec)})


async def stream(request: Request) -> Response:
    """Server-Sent Events: one message a second, each complete in itself, so that a reconnect misses nothing.

    The browser fetches the history again after a reconnect, which fills the gap in the plots.
    """
    # Refused here, while the answer can still say so.
    await viewer_of(request)
    return StreamingResponse(
        _messages(request),
        media_type="text/event-stream",
        headers={"cache-control": "no-store", "x-accel-buffering": "no"},
    )


async def _messages(request: Request) -> AsyncIterator[bytes]:
    """The stream, for as long as the viewer's token or session holds."""
    collector: Collector = request.app.state.collector
    spec = request.app.state.backends.resource.spec
    stopping: asyncio.Event = request.app.state.stopping
    yield b"retry: 1000\n\n"
    with collector.listening() as arrival:
        while not stopping.is_set():
            try:
                viewer = await viewer_of(request)
            except (RefusedError, BackendError, RedisError):
                # The page connects again, and hears why if it may not.
                return
            yield b"data: " + msgspec.json.encode(now(collector, viewer, spec)) + b"\n\n"
            arrival.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(REPEAT_SECONDS):
                    await arrival.wait()


routes = [Route("/api/history", history), Route("/api/stream", stream)]
