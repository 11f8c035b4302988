"""The routes that administer tenants and keys: by API with a key or token, by the dashboard's page with a session."""

from __future__ import annotations

from functools import wraps
from typing import TYPE_CHECKING, Final

import structlog
from redis.exceptions import RedisError
from starlette.routing import Route

from cloudscale.access.administration import EndedKeyError, HalfDoneError
from cloudscale.access.administrator import Administrator
from cloudscale.access.authority import SCOPES_OF_A_TENANT, Authority, authority_of
from cloudscale.access.container import AlreadyExistsError, NotFoundError
from cloudscale.access.new_keys import NotPossibleError
from cloudscale.dashboard import problems
from cloudscale.dashboard.administering import endpoints
from cloudscale.dashboard.administering.measuring import measured
from cloudscale.dashboard.problems import Kind, RefusedReadingError, unavailable
from cloudscale.dashboard.reading.callers import caller_of
from cloudscale.dashboard.responses import RefusedError
from cloudscale.dashboard.sessions import refuse_other_sites, viewer_of
from cloudscale.errors import BackendError, CloudScaleError, ThrottledError
from cloudscale.ledger.audit import NotRecordedError
from cloudscale.limits.rates import rates_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.requests import Request
    from starlette.responses import Response

    from cloudscale.dashboard.access import Viewer
    from cloudscale.dashboard.backends import Backends
    from cloudscale.dashboard.reading.rates import ReadingLimits

    Endpoint = Callable[[Request, Administrator], Awaitable[Response]]
    Answering = Callable[[Request], Awaitable[Response]]

log = structlog.get_logger(__name__)

READS: Final = frozenset({"GET", "HEAD"})


def by_key(endpoint: Endpoint) -> Answering:
    """A route for who has a key or token that administers."""

    async def asked(request: Request) -> Response:
        caller = await caller_of(request)
        limits: ReadingLimits = request.app.state.reading_limits
        limits.admit(caller.name)
        authority = authority_of(caller)
        async with limits.turn():
            return await endpoint(request, await _administrator(request, authority))

    @wraps(endpoint)
    async def answered(request: Request) -> Response:
        return await _or_refusal(asked(request), request)

    return answered


def by_page(endpoint: Endpoint) -> Answering:
    """A route for people with the role admin. What changes something has to come from the dashboard's own page."""

    async def asked(request: Request, authority: Authority) -> Response:
        return await endpoint(request, await _administrator(request, authority))

    @wraps(endpoint)
    async def answered(request: Request) -> Response:
        viewer = await viewer_of(request)
        authority = authority_of_viewer(viewer)
        if request.method not in READS:
            refuse_other_sites(request)
        return await _or_refusal(asked(request, authority), request)

    return answered


async def _or_refusal(answer: Awaitable[Response], request: Request) -> Response:
    """The answer, or the problem document of the error that prevents it."""
    try:
        return await answer
    except RefusedError:
        raise
    except (CloudScaleError, RedisError) as error:
        return problems.answer(_refusal_of(error, is_change=request.method not in READS))


def authority_of_viewer(viewer: Viewer) -> Authority:
    """What somebody who is signed in may administer.

    Raises:
        RefusedError: nothing.
    """
    if not viewer.may_manage:
        raise RefusedError(403, "Tenants and keys need the role admin, or an access token that manages.")
    if viewer.tenants is None:
        return Authority(who=viewer.name)
    return Authority(who=viewer.name, tenants=viewer.tenants, grants=SCOPES_OF_A_TENANT)


async def _administrator(request: Request, authority: Authority) -> Administrator:
    state = request.app.state
    backends: Backends = state.backends
    return Administrator(
        authority,
        await backends.administration(),
        await backends.directory(),
        state.audit,
        usual_requests_per_second=rates_of(backends.resource.spec.ingestion.rate_limits).tenant.per_second,
    )


def _refusal_of(error: CloudScaleError | RedisError, *, is_change: bool) -> RefusedReadingError:
    """What an error means to who administers: what was asked for, and whether it may be done all the same."""
    if isinstance(error, NotFoundError):
        return RefusedReadingError(Kind.NOT_FOUND, "There is no such tenant, key or device.")
    if isinstance(error, AlreadyExistsError | EndedKeyError):
        return RefusedReadingError(Kind.CONFLICT, f"{error}.")
    if isinstance(error, NotPossibleError):
        return RefusedReadingError(Kind.INVALID, f"{error}.")
    if isinstance(error, NotRecordedError):
        return unavailable("Nothing was done, since it cannot be recorded now: try again.")
    if isinstance(error, HalfDoneError):
        return unavailable(f"{error}.")
    if isinstance(error, RedisError | BackendError):
        log.warning("a backend of the directory does not answer", is_change=is_change, error=str(error))
        wait_seconds = error.retry_after_seconds if isinstance(error, ThrottledError) else problems.RETRY_SECONDS
        if not is_change:
            return unavailable("Tenants and keys cannot be read now: try again.", wait_seconds=wait_seconds)
        return unavailable(
            "Whether this change is made is not known, since the store did not answer: look at the list, and ask for "
            "it again if it is not there.",
            wait_seconds=wait_seconds,
        )
    return problems.refusal_of(error)


def _routes(prefix: str, way: Callable[[Endpoint], Answering]) -> list[Route]:
    return [
        Route(f"{prefix}/tenants", way(endpoints.tenants), methods=["GET"]),
        Route(f"{prefix}/tenants", way(endpoints.create_tenant), methods=["POST"]),
        Route(f"{prefix}/tenants/{{tenant_id}}", way(endpoints.tenant), methods=["GET"]),
        Route(f"{prefix}/tenants/{{tenant_id}}", way(endpoints.change_tenant), methods=["PATCH"]),
        Route(f"{prefix}/keys", way(endpoints.keys), methods=["GET"]),
        Route(f"{prefix}/keys", way(endpoints.create_key), methods=["POST"]),
        Route(f"{prefix}/keys/{{key_id}}", way(endpoints.change_key), methods=["PATCH"]),
        Route(f"{prefix}/keys/{{key_id}}/rotate", way(endpoints.rotate_key), methods=["POST"]),
        Route(f"{prefix}/keys/{{key_id}}/revoke", way(endpoints.revoke_key), methods=["POST"]),
    ]


routes = [
    *_routes("/api/v1", by_key),
    *_routes("/api/access", by_page),
    Route("/api/v1/devices", by_key(endpoints.create_device), methods=["POST"]),
    Route("/api/access/rates", by_page(measured), methods=["GET"]),
]
