"""A stand-in for the ingestion API that answers as it is told: what a real one says only under load."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

Answer = tuple[int, dict[str, str], Any]


@dataclass
class Api:
    """``answer`` decides on each request, given its number and events; ``requests`` are those that came."""

    answer: Callable[[int, list[dict[str, Any]]], Answer]
    url: str = ""
    requests: list[list[dict[str, Any]]] = field(default_factory=list)
    authorizations: list[str | None] = field(default_factory=list)
    """What the requests proved themselves with."""

    async def handle(self, request: web.Request) -> web.Response:
        """Take a batch or a single event."""
        events = [json.loads(line) for line in (await request.read()).splitlines()]
        self.requests.append(events)
        self.authorizations.append(request.headers.get("authorization"))
        status, headers, body = self.answer(len(self.requests), events)
        kind = headers.get("content-type", "application/json")
        others = {name: value for name, value in headers.items() if name != "content-type"}
        return web.json_response(body, status=status, headers=others, content_type=kind)


def results(*statuses: int) -> dict[str, Any]:
    """The body of an answer to a batch."""
    return {"results": [{"index": index, "status": status} for index, status in enumerate(statuses)]}


@asynccontextmanager
async def serving(answer: Callable[[int, list[dict[str, Any]]], Answer]) -> AsyncIterator[Api]:
    """Serve on a free port."""
    api = Api(answer)
    application = web.Application()
    application.add_routes([web.post("/api/v1/events/batch", api.handle), web.post("/api/v1/events", api.handle)])
    runner = web.AppRunner(application)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        api.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield api
    finally:
        await runner.cleanup()
