"""What the dashboard's routes answer with: JSON, problem documents (RFC 9457), and the headers of every answer."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import msgspec
from redis.exceptions import RedisError
from starlette.exceptions import HTTPException
from starlette.responses import Response

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


def problem(status: int, title: str, detail: str) -> Response:
    """A problem document."""
    content = msgspec.json.encode({"type": "about:blank", "title": title, "status": status, "detail": detail})
    return Response(content, status, media_type="application/problem+json")


async def on_refused(_request: Request, error: Exception) -> Response:
    """Answer a :class:`RefusedError`."""
    status = error.status if isinstance(error, RefusedError) else 400
    return problem(status, "Not possible", str(error))


async def on_http_exception(_request: Request, error: Exception) -> Response:
    """Answer a request to an address that is not there, or with a method that is not for it."""
    status, headers = (error.status_code, error.headers) if isinstance(error, HTTPException) else (400, None)
    answer = problem(status, HTTPStatus(status).phrase, "The address or the method is wrong.")
    answer.headers.update(headers or {})
    return answer


async def on_not_visible(_request: Request, error: Exception) -> Response:
    """Answer when somebody asks for a tenant that is not theirs."""
    tenant = error.tenant_id if isinstance(error, NotVisibleError) else ""
    return problem(403, "Not possible", f"This access token is not for tenant {tenant}.")


async def on_backend_error(_request: Request, error: Exception) -> Response:
    """Answer while a backend is away: the page shows it and asks again."""
    # The errors of Redis' client do not say what they are about.
    detail = f"Redis does not answer: {error}" if isinstance(error, RedisError) else str(error)
    return problem(503, "A backend cannot be reached", detail)


async def on_configuration_error(_request: Request, error: Exception) -> Response:
    """Answer when a setting has to be mended first."""
    return problem(500, "This pipeline is not configured right", str(error))


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
