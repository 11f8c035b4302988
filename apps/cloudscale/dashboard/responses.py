"""What the dashboard's routes answer with: JSON, problem documents for errors, and the headers of every answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from redis.exceptions import RedisError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from cloudscale.dashboard.problems import KINDS_BY_STATUS, Kind, respond
from cloudscale.errors import BackendError, CloudScaleError, ConfigurationError
from cloudscale.store.tenant_view import NotVisibleError

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

SECURITY_HEADERS = {
    # No script, style or image but the dashboard's own; uPlot sets styles by the object model, which this allows.
    b"content-security-policy": b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    b"connect-src 'self'; font-src 'self'; manifest-src 'self'; form-action 'self'; base-uri 'none'; "
    b"frame-ancestors 'none'",
    b"x-content-type-options": b"nosniff",
    b"referrer-policy": b"same-origin",
    b"cross-origin-opener-policy": b"same-origin",
    b"cross-origin-resource-policy": b"same-origin",
}


MOST_CHARACTERS = 500
"""Of an address that is not there, in the answer that says so."""


class RefusedError(CloudScaleError):
    """The request cannot be done as it is; ``status`` is the HTTP status code to say so."""

    def __init__(self, status: int, detail: str) -> None:
        self.status = status
        super().__init__(detail)


class JsonResponse(Response):
    """JSON of anything that msgspec encodes."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        """Encode the content."""
        return msgspec.json.encode(content)


async def on_refused(_request: Request, error: Exception) -> Response:
    """Answer a :class:`RefusedError`."""
    status = error.status if isinstance(error, RefusedError) else Kind.INVALID.status
    return respond(KINDS_BY_STATUS[status], str(error))


async def on_http_exception(request: Request, error: Exception) -> Response:
    """Answer a request to an address that is not there, or with a method that is not for it."""
    status, headers = (error.status_code, error.headers) if isinstance(error, HTTPException) else (400, None)
    detail = f"{request.method} {request.url.path}: there is no such address, or the method is not for it."
    return respond(KINDS_BY_STATUS.get(status, Kind.INVALID), detail[:MOST_CHARACTERS], headers=headers)


async def on_not_visible(_request: Request, error: Exception) -> Response:
    """Answer when somebody asks for a tenant that is not theirs."""
    tenant = error.tenant_id if isinstance(error, NotVisibleError) else ""
    return respond(Kind.NOT_ALLOWED, f"This access token is not for tenant {tenant}.")


async def on_backend_error(_request: Request, error: Exception) -> Response:
    """Answer while a backend is away: the page shows it and asks again."""
    # The errors of Redis' client do not say what they are about.
    detail = f"Redis does not answer: {error}" if isinstance(error, RedisError) else str(error)
    return respond(Kind.UNAVAILABLE, detail)


async def on_configuration_error(_request: Request, error: Exception) -> Response:
    """Answer when a setting has to be mended first."""
    return respond(Kind.MISCONFIGURED, str(error))


EXCEPTION_HANDLERS = {
    HTTPException: on_http_exception,
    RefusedError: on_refused,
    NotVisibleError: on_not_visible,
    BackendError: on_backend_error,
    RedisError: on_backend_error,
    ConfigurationError: on_configuration_error,
}


class SecurityHeaders:
    """Adds the security headers to every answer, and keeps answers out of shared caches."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                given = {name.lower() for name, _ in message["headers"]}
                caching = {} if b"cache-control" in given else {b"cache-control": b"no-store"}
                extra = SECURITY_HEADERS | caching
                message["headers"] = [*message["headers"], *((name, value) for name, value in extra.items())]
            await send(message)

        await self._app(scope, receive, send_with_headers)
