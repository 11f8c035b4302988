"""Runs an ASGI application inside an RSGI server.

Granian serves one interface at a time. The routes that take events speak RSGI, which costs a third less CPU; everything
else is an ordinary Starlette application behind this bridge. HTTP requests only: no websockets, no lifespan (the server
has its own). Sources: the ASGI HTTP specification 2.3, and Granian's RSGI specification 1.5.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from granian._granian import RSGIHTTPProtocol as HTTPProtocol
    from granian.rsgi import Scope
    from starlette.types import ASGIApp, Message


async def serve_asgi(application: ASGIApp, scope: Scope, protocol: HTTPProtocol) -> None:
    """Answer one RSGI request with an ASGI application; the body is buffered both ways."""
    host, _, port = scope.client.rpartition(":")
    asgi_scope: dict[str, Any] = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": scope.http_version,
        "method": scope.method,
        "scheme": scope.scheme,
        "path": scope.path,
        "raw_path": scope.path.encode(),
        "query_string": scope.query_string.encode(),
        "root_path": "",
        "headers": [(name.encode("latin-1"), value.encode("latin-1")) for name, value in scope.headers.items()],
        "client": (host, int(port)) if port.isdigit() else None,
        "server": None,
        "state": {},
    }
    body: bytes | None = None

    async def receive() -> Message:
        nonlocal body
        if body is None:
            body = await protocol()
            return {"type": "http.request", "body": body, "more_body": False}
        return {"type": "http.disconnect"}

    status = 500
    headers: list[tuple[str, str]] = []
    parts: list[bytes] = []

    async def send(message: Message) -> None:
        nonlocal status, headers
        if message["type"] == "http.response.start":
            status = message["status"]
            headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in message["headers"]]
        elif message["type"] == "http.response.body":
            parts.append(message.get("body", b""))

    try:
        await application(asgi_scope, receive, send)
    finally:
        # Starlette answers an error with its handler for errors, then raises it for the server's log.
        protocol.response_bytes(status, headers, b"".join(parts))
