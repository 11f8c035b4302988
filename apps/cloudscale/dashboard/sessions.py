"""Signing in and out, and finding out who sent a request."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import msgspec
import structlog
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from cloudscale import untrusted_json
from cloudscale.dashboard.access import ANYBODY, Access, Viewer, digest_of
from cloudscale.dashboard.responses import JsonResponse, RefusedError
from cloudscale.dashboard.session_store import SESSION_SECONDS
from cloudscale.dashboard.static_files import page
from cloudscale.untrusted_json import UnreadableJsonError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request

    from cloudscale.dashboard.session_store import SessionStore

log = structlog.get_logger(__name__)

COOKIE = "cloudscale-session"
REFUSAL_SECONDS = 0.5
"""Delay of the answer to a wrong token, which slows guessing down."""


class SignIn(msgspec.Struct, frozen=True):
    """The body of a sign-in."""

    token: str


_sign_in = msgspec.json.Decoder(SignIn)


async def viewer_of(request: Request) -> Viewer:
    """Who sent the request: by bearer token, by session, or anybody where reading is open.

    Raises:
        RefusedError: reading needs a token and there is none that holds.
    """
    access: Access = request.app.state.tokens.current()
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    viewer = None
    if scheme.lower() == "bearer":
        viewer = access.viewer_of_token(token.strip())
    elif cookie := request.cookies.get(COOKIE):
        store: SessionStore = request.app.state.sessions
        digest = await store.find(cookie)
        viewer = access.viewer_of_digest(digest) if digest else None
    if viewer is not None:
        return viewer
    if access.required:
        raise RefusedError(401, "Sign in with an access token to see this pipeline.")
    return ANYBODY


async def actor_of(request: Request) -> Viewer:
    """Who sent a request that changes something.

    Raises:
        RefusedError: the sender may not act, or the request may come from another site.
    """
    viewer = await viewer_of(request)
    if not viewer.may_act:
        raise RefusedError(403, "Replaying and discarding needs an access token that allows it.")
    refuse_other_sites(request)
    return viewer


def refuse_other_sites(request: Request) -> None:
    """Let no other site's page use a visitor's session.

    The cookie is SameSite=Strict already; this also holds where a browser does not know that. A page of another site
    can send neither this header without a preflight, which is never granted, nor a wrong Origin.

    Raises:
        RefusedError: the request does not come from the dashboard's own pages.
    """
    origin = request.headers.get("origin")
    if origin is not None and urlsplit(origin).netloc != request.headers.get("host"):
        raise RefusedError(403, "This request comes from another site's page.")
    if request.headers.get("x-requested-with") != "cloudscale":
        raise RefusedError(403, "Send the header X-Requested-With: cloudscale with requests that change something.")


async def show_sign_in(request: Request) -> Response:
    """The sign-in page."""
    return page(request, "sign-in.html")


async def sign_in(request: Request) -> Response:
    """Exchange a token for a session cookie."""
    refuse_other_sites(request)
    access: Access = request.app.state.tokens.current()
    try:
        token = untrusted_json.decode(await request.body(), _sign_in).token.strip()
    except UnreadableJsonError as error:
        raise RefusedError(400, f'Send the access token as JSON, {{"token": …}}: {error}') from None
    viewer = access.viewer_of_token(token)
    if viewer is None:
        await asyncio.sleep(REFUSAL_SECONDS)
        log.warning("sign-in refused", client=request.client.host if request.client else "")
        raise RefusedError(401, "This access token is not known. Check that all of it was copied.")
    response = JsonResponse(viewer)
    store: SessionStore = request.app.state.sessions
    name = await store.open(digest_of(token))
    response.set_cookie(COOKIE, name, max_age=SESSION_SECONDS, **_attributes(request))
    log.info("signed in", viewer=viewer.name)
    return response


async def sign_out(request: Request) -> Response:
    """End the session, wherever its cookie is used."""
    refuse_other_sites(request)
    store: SessionStore = request.app.state.sessions
    if cookie := request.cookies.get(COOKIE):
        await store.end(cookie)
    response = Response(status_code=204)
    response.delete_cookie(COOKIE, **_attributes(request))
    return response


async def session(request: Request) -> Response:
    """Who the browser is signed in as, and which pipeline this is."""
    viewer = await viewer_of(request)
    metadata = request.app.state.backends.resource.metadata
    return JsonResponse(
        {
            "viewer": viewer,
            "signedIn": viewer is not ANYBODY,
            "tokensConfigured": request.app.state.tokens.current().required,
            "pipeline": {"name": metadata.name, "namespace": metadata.namespace},
        }
    )


async def home(request: Request) -> Response:
    """The one page of the dashboard, for those who may see it."""
    try:
        await viewer_of(request)
    except RefusedError:
        return RedirectResponse("/sign-in", 303)
    return page(request, "index.html")


def _attributes(request: Request) -> Mapping[str, Any]:
    secure = request.url.scheme == "https" or request.headers.get("x-forwarded-proto") == "https"
    return {"httponly": True, "samesite": "strict", "secure": secure, "path": "/"}


routes = [
    Route("/", home),
    Route("/sign-in", show_sign_in, methods=["GET"]),
    Route("/api/session", session, methods=["GET"]),
    Route("/api/session", sign_in, methods=["POST"]),
    Route("/api/session", sign_out, methods=["DELETE"]),
]
