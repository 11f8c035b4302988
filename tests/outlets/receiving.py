"""A receiver of webhooks: a real HTTP server, which checks every signature by a calculation of its own."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import secrets
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec
from aiohttp import web

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator


def new_secret() -> str:
    """A secret as Standard Webhooks writes it."""
    return f"whsec_{base64.b64encode(secrets.token_bytes(32)).decode()}"


@dataclass
class ReceiverServer:
    """What it answers, and what it got."""

    secret: str
    status: int = 204
    hangs: bool = False
    """Whether it takes requests and never answers."""
    headers: dict[str, str] = field(default_factory=dict)
    port: int = 0
    requests: list[web.Request] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)
    """CloudEvents that it took, in the order of their coming."""
    refused: set[str] = field(default_factory=set)
    """Ids of events whose requests it answers with 500."""

    @property
    def url(self) -> str:
        """Where events are posted to."""
        return f"http://127.0.0.1:{self.port}/hooks"

    def ids(self) -> list[str]:
        """Ids of what it took."""
        return [event["id"] for event in self.events]

    async def answer(self, request: web.Request) -> web.Response:
        """Take what is posted if it is signed."""
        body = await request.read()
        self.requests.append(request)
        if self.hangs:
            await asyncio.Event().wait()
        if not self.is_signed(request, body):
            return web.Response(status=401)
        if self.status >= 300:
            return web.Response(status=self.status, headers=self.headers)
        content = msgspec.json.decode(body)
        events = content if isinstance(content, list) else [content]
        if self.refused.intersection(event["id"] for event in events):
            return web.Response(status=500)
        self.events += events
        return web.Response(status=self.status, headers=self.headers)

    def is_signed(self, request: web.Request, body: bytes) -> bool:
        """Whether one of the signatures is that of Standard Webhooks with this secret."""
        names = ("webhook-id", "webhook-timestamp")
        signed = ".".join([*(request.headers.get(name, "") for name in names), body.decode()])
        key = base64.b64decode(self.secret.removeprefix("whsec_"))
        expected = base64.b64encode(hmac.new(key, signed.encode(), hashlib.sha256).digest()).decode()
        return f"v1,{expected}" in request.headers.get("webhook-signature", "").split(" ")


@asynccontextmanager
async def receiving(
    secret: str = "", *, port: int = 0, certificate: ssl.SSLContext | None = None
) -> AsyncIterator[ReceiverServer]:
    """A receiver on a port of the system's choice, or on the same again; with a certificate over TLS."""
    server = ReceiverServer(secret or new_secret())
    application = web.Application(client_max_size=10_000_000)
    application.router.add_post("/hooks", server.answer)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", port, ssl_context=certificate).start()
        server.port = runner.addresses[0][1]
        yield server
    finally:
        await runner.cleanup()
