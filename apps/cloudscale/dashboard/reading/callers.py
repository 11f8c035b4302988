"""Who asks: the caller that a request's one ``Authorization`` header proves, and nothing else of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from cloudscale.access.caller import require_scope
from cloudscale.access.challenge import CHALLENGE
from cloudscale.access.scopes import Scope
from cloudscale.dashboard.client import address_of
from cloudscale.dashboard.problems import Kind, RefusedReadingError
from cloudscale.limits.addresses import client_of

if TYPE_CHECKING:
    from starlette.requests import Request

    from cloudscale.access.caller import Caller


class Callers(Protocol):
    """Knows callers by what they send, as :class:`cloudscale.access.authentication.Authentication` does."""

    async def caller_of(self, authorization: str | None, *, address: str) -> Caller:
        """The caller that an ``Authorization`` header proves; ``address`` is whose failed attempts are counted.

        Raises:
            NotAuthenticatedError: there is no key or token, or it does not hold.
            NotAllowedError: it holds, but not here.
            TooManyAttemptsError: this address was wrong too often.
            AccessUnavailableError: whether it holds cannot be found out now.
        """
        ...


async def reader_of(request: Request) -> Caller:
    """Who sent a request that reads.

    Raises:
        CloudScaleError: as :func:`caller_of`; or the caller may not read.
    """
    caller = await caller_of(request)
    require_scope(caller, Scope.READ_EVENTS)
    return caller


async def caller_of(request: Request) -> Caller:
    """Who sent a request, whatever he may do.

    The cookie of the dashboard's pages and keys in the address are not looked at.

    Raises:
        CloudScaleError: as :meth:`Callers.caller_of`; or the request has several headers.
    """
    headers = request.headers.getlist("authorization")
    if len(headers) > 1:
        raise RefusedReadingError(
            Kind.INVALID,
            "The request has several Authorization headers: send one.",
            headers={"WWW-Authenticate": f'{CHALLENGE}, error="invalid_request"'},
        )
    callers: Callers = request.app.state.callers
    address = client_of(address_of(request))
    return await callers.caller_of(headers[0] if headers else None, address=address)
