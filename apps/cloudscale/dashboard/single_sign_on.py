"""The routes of signing in with the provider: leaving for it, and coming back."""

from __future__ import annotations

import asyncio
import html
import string
from typing import TYPE_CHECKING, Any, Final

import structlog
from redis.exceptions import RedisError
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from cloudscale.dashboard.client import address_of
from cloudscale.dashboard.id_tokens import InvalidTokenError
from cloudscale.dashboard.provider import ProviderRefusedError, plain
from cloudscale.dashboard.responses import JsonResponse
from cloudscale.dashboard.session import PERSON_SESSION_SECONDS
from cloudscale.dashboard.session_store import new_name
from cloudscale.dashboard.sessions import COOKIE as SESSION_COOKIE
from cloudscale.dashboard.sessions import cookie_attributes
from cloudscale.dashboard.sign_in_attempt import ATTEMPT_SECONDS, COOKIE, Attempt, Attempts, new_attempt
from cloudscale.dashboard.static_files import DIRECTORY
from cloudscale.errors import BackendError, BackendUnavailableError, CloudScaleError, ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request

    from cloudscale.dashboard.people import People
    from cloudscale.dashboard.session import PersonSession
    from cloudscale.dashboard.session_store import SessionStore

log = structlog.get_logger(__name__)

LONGEST_CODE: Final = 4096
MOST_EXCHANGES: Final = 8
"""So many codes are exchanged at once; whoever sends codes of their own making waits in line for the provider's no."""
EXCHANGE_SECONDS: Final = 25.0
PATH: Final = "/sign-in"
ONLY_ONCE: Final = ("code", "state", "iss", "error", "error_description")
REASONS: Final = {
    "access_denied": "The provider did not let you in, or the sign-in was cancelled.",
    "login_required": "The provider asks you to sign in there first.",
    "temporarily_unavailable": "The provider is not available just now.",
}


class NotSignedInError(CloudScaleError):
    """A sign-in ended without a session; ``status`` is the page's, and whether it used up the attempt."""

    def __init__(self, status: int, text: str, *, ends_attempt: bool = True) -> None:
        self.status = status
        self.ends_attempt = ends_attempt
        super().__init__(text)


async def offer(request: Request) -> Response:
    """How one may sign in, for the sign-in page."""
    people: People | None = request.app.state.people
    has_tokens = request.app.state.tokens.current().required
    return JsonResponse({"provider": people.name if people else None, "tokens": has_tokens})


async def start(request: Request) -> Response:
    """Send the browser to the provider."""
    people: People | None = request.app.state.people
    if people is None:
        return _page(404, "Not signed in", "This dashboard has no sign-in provider. Use an access token.")
    attempts: Attempts = request.app.state.attempts
    attempt = new_attempt(request.query_params.get("to", "/"))
    try:
        response = RedirectResponse(await people.address_to_sign_in(attempt), 303)
        sealed = await attempts.seal(attempt)
    except (CloudScaleError, RedisError) as error:
        return _failure(_as_refusal(error))
    response.set_cookie(COOKIE, sealed, max_age=ATTEMPT_SECONDS, **_attempt_attributes(request, people))
    return response


async def callback(request: Request) -> Response:
    """Take the browser back: open a session, or say why not."""
    people: People | None = request.app.state.people
    if people is None:
        return _page(404, "Not signed in", "This dashboard has no sign-in provider. Use an access token.")
    try:
        attempt = await _attempt_of(request)
        name, session = await _signed_in(request, people, attempt)
    except (CloudScaleError, RedisError) as error:
        refusal = _as_refusal(error)
        log.warning("sign-in with the provider refused", client=address_of(request), reason=plain(str(error)))
        response = _failure(refusal)
        if refusal.ends_attempt:
            response.delete_cookie(COOKIE, **_attempt_attributes(request, people))
        return response
    log.info("signed in", viewer=session.name, subject=session.subject)
    # The session's cookie is for requests of the dashboard's own pages alone, so this page has to lead on: a redirect
    # would still count as the provider's.
    response = _render("signed-in.html", 200, return_to=attempt.return_to)
    response.delete_cookie(COOKIE, **_attempt_attributes(request, people))
    response.set_cookie(SESSION_COOKIE, name, max_age=PERSON_SESSION_SECONDS, **_session_attributes(request, people))
    return response


def _session_attributes(request: Request, people: People) -> Mapping[str, Any]:
    return cookie_attributes(request, is_secure=people.is_secure)


def _attempt_attributes(request: Request, people: People) -> Mapping[str, Any]:
    # Lax: the provider's answer comes from another site, and this cookie has to come with it.
    return {**_session_attributes(request, people), "samesite": "lax", "path": PATH}


async def _attempt_of(request: Request) -> Attempt:
    """The attempt that the provider's answer belongs to.

    Raises:
        NotSignedInError: there is none in this browser.
        RedisError: this cannot be told.
    """
    query = request.query_params
    if any(len(query.getlist(parameter)) > 1 for parameter in ONLY_ONCE):
        raise NotSignedInError(400, "The answer to this sign-in says something twice.", ends_attempt=False)
    cookie = request.cookies.get(COOKIE)
    attempts: Attempts = request.app.state.attempts
    attempt = await attempts.open(cookie) if cookie else None
    if attempt is None:
        raise NotSignedInError(
            400, "This sign-in was not started in this browser at this address, or took more than ten minutes."
        )
    if not attempt.is_answered_by(query.get("state", "")):
        # Another site may have sent this; it must not end what the browser is about to finish.
        raise NotSignedInError(400, "This answer belongs to another sign-in.", ends_attempt=False)
    return attempt


async def _signed_in(request: Request, people: People, attempt: Attempt) -> tuple[str, PersonSession]:
    """Open a session for the provider's answer: its new name, and what it is.

    Raises:
        CloudScaleError: the answer is none that opens a session, or a backend does not answer.
        RedisError: Redis does not answer.
    """
    query = request.query_params
    if not await people.check_issuer(query.get("iss")):
        raise NotSignedInError(400, "This answer comes from another provider.")
    if (error := query.get("error")) is not None:
        said = plain(query.get("error_description", ""))
        reason = REASONS.get(error, f"The provider answered {plain(error, longest=50)}.")
        raise NotSignedInError(403, f"{reason} It says: {said}" if said else reason)
    code = query.get("code", "")
    if not 0 < len(code) <= LONGEST_CODE:
        raise NotSignedInError(400, "The provider's answer has no code.")
    attempts: Attempts = request.app.state.attempts
    if await attempts.is_used(attempt):
        raise NotSignedInError(400, "This sign-in has been used already.")
    name = new_name()
    try:
        async with asyncio.timeout(EXCHANGE_SECONDS), request.app.state.exchanges:
            session = await people.sign_in(code, attempt, name=name)
    except TimeoutError:
        raise BackendUnavailableError("the sign-in provider does not answer in time: try again") from None
    if not await attempts.use(attempt):
        raise NotSignedInError(400, "This sign-in has been used already.")
    if people.viewer(session) is None:
        raise NotSignedInError(
            403, f"You are {session.name} at {people.name}, and nothing there gives you a role here. Ask who runs this."
        )
    store: SessionStore = request.app.state.sessions
    if former := request.cookies.get(SESSION_COOKIE):
        await store.end(former)
    await store.open(session, name=name)
    return name, session


def _as_refusal(error: Exception) -> NotSignedInError:
    match error:
        case NotSignedInError():
            return error
        case ProviderRefusedError() | InvalidTokenError():
            return NotSignedInError(403, str(error))
        case ConfigurationError():
            return NotSignedInError(500, str(error))
        case BackendError():
            return NotSignedInError(503, str(error))
        case _:
            return NotSignedInError(503, "Redis does not answer.")


def _failure(refusal: NotSignedInError) -> HTMLResponse:
    return _page(refusal.status, "Not signed in", str(refusal))


def _page(status: int, title: str, text: str) -> HTMLResponse:
    return _render("not-signed-in.html", status, title=title, text=text)


def _render(name: str, status: int, **texts: str) -> HTMLResponse:
    """A page whose places are filled with texts, none of which can be markup."""
    escaped = {place: html.escape(text, quote=True) for place, text in texts.items()}
    return HTMLResponse(string.Template((DIRECTORY / name).read_text()).substitute(escaped), status)


routes = [
    Route("/api/sign-in", offer, methods=["GET"]),
    Route("/sign-in/start", start, methods=["GET"]),
    Route("/sign-in/callback", callback, methods=["GET"]),
]
