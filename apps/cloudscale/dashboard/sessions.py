"""Signing in and out, and finding out who sent a request."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import msgspec
import structlog
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from cloudscale import untrusted_json
from cloudscale.dashboard.access import ANYBODY, Access, Viewer, digest_of
from cloudscale.dashboard.client import address_of
from cloudscale.dashboard.responses import JsonResponse, RefusedError
from cloudscale.dashboard.session import TOKEN_SESSION_SECONDS, PersonSession, TokenSession, session_of_token
from cloudscale.dashboard.static_files import page
from cloudscale.errors import BackendError
from cloudscale.untrusted_json import UnreadableJsonError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request

    from cloudscale.dashboard.people import People
    from cloudscale.dashboard.session_store import SessionStore

log = structlog.get_logger(__name__)

COOKIE = "cloudscale-session"
REFUSAL_SECONDS = 0.5
"""Delay of the answer to a wrong token, which slows guessing down."""


class SignIn(msgspec.Struct, frozen=True):
    """The body of a sign-in with an access token."""

    token: str


_sign_in = msgspec.json.Decoder(SignIn)


async def viewer_of(request: Request) -> Viewer:
    """Who sent the request: by bearer token, by session, or anybody where reading is open.

    Raises:
        RefusedError: reading needs a token or a session and there is none that holds.
        BackendError: a session has to be renewed and the provider does not answer.
    """
    access: Access = request.app.state.tokens.current()
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    viewer = None
    if scheme.lower() == "bearer":
        viewer = access.viewer_of_token(token.strip())
    elif cookie := request.cookies.get(COOKIE):
        viewer = await _viewer_of_session(request, cookie)
    if viewer is not None:
        return viewer
    if access.required or request.app.state.people is not None:
        raise RefusedError(401, "Sign in to see this pipeline.")
    return ANYBODY


async def _viewer_of_session(request: Request, name: str) -> Viewer | None:
    store: SessionStore = request.app.state.sessions
    session = await store.find(name)
    if isinstance(session, TokenSession):
        access: Access = request.app.state.tokens.current()
        return access.viewer_of_digest(session.token_digest)
    people: People | None = request.app.state.people
    if session is None or people is None:
        return None
    if session.renew_at <= time.time():
        session = await request.app.state.renewals.renew(name)
    return people.viewer(session) if session is not None else None


async def actor_of(request: Request) -> Viewer:
    """Who sent a request that changes something.

    Raises:
        RefusedError: the sender may not act, or the request may come from another site.
    """
    viewer = await viewer_of(request)
    if not viewer.may_act:
        raise RefusedError(403, "Replaying and discarding needs the role operator, or an access token that allows it.")
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
        token = untrusted_json.decode_unambiguous(await request.body(), _sign_in).token.strip()
    except UnreadableJsonError as error:
        raise RefusedError(400, f'Send the access token as JSON, {{"token": …}}: {error}') from None
    viewer = access.viewer_of_token(token)
    if viewer is None:
        await asyncio.sleep(REFUSAL_SECONDS)
        log.warning("sign-in refused", client=address_of(request))
        raise RefusedError(401, "This access token is not known. Check that all of it was copied.")
    response = JsonResponse(viewer)
    store: SessionStore = request.app.state.sessions
    if former := request.cookies.get(COOKIE):
        await store.end(former)
    name = await store.open(session_of_token(digest_of(token)))
    response.set_cookie(COOKIE, name, max_age=TOKEN_SESSION_SECONDS, **cookie_attributes(request))
    log.info("signed in", viewer=viewer.name)
    return response


async def sign_out(request: Request) -> Response:
    """End the session, wherever its cookie is used, and say where the provider ends its own."""
    refuse_other_sites(request)
    store: SessionStore = request.app.state.sessions
    address = None
    if cookie := request.cookies.get(COOKIE):
        address = await _address_to_sign_out(request, cookie)
        await store.end(cookie)
    response = JsonResponse({"continueAt": address}) if address else Response(status_code=204)
    response.delete_cookie(COOKIE, **cookie_attributes(request))
    return response


async def _address_to_sign_out(request: Request, name: str) -> str | None:
    """Where the provider ends the person's session there; None if it does not, or cannot be asked now."""
    people: People | None = request.app.state.people
    session = await request.app.state.sessions.find(name)
    if people is None or not isinstance(session, PersonSession) or people.viewer(session) is None:
        return None
    try:
        return await people.address_to_sign_out(name, session)
    except BackendError as error:
        log.warning("the sign-in provider's session goes on after signing out", error=str(error))
        return None


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
    except BackendError as error:
        # The page says so itself, and goes on when the provider answers again.
        log.warning("a session is not renewed yet", error=str(error))
    return page(request, "index.html")


def cookie_attributes(request: Request, *, is_secure: bool = False) -> Mapping[str, Any]:
    """What every cookie has: no script and no other site can use it, and over HTTPS it never travels in the clear.

    Args:
        request: tells whether the browser uses HTTPS, as far as a proxy passes it on.
        is_secure: whether the browser uses HTTPS for sure.
    """
    secure = is_secure or request.url.scheme == "https" or request.headers.get("x-forwarded-proto") == "https"
    return {"httponly": True, "samesite": "strict", "secure": secure, "path": "/"}


routes = [
    Route("/", home),
    Route("/sign-in", show_sign_in, methods=["GET"]),
    Route("/api/session", session, methods=["GET"]),
    Route("/api/session", sign_in, methods=["POST"]),
    Route("/api/session", sign_out, methods=["DELETE"]),
]
