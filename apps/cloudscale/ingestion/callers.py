"""Who sends a request, found out before anything of its body is read; and what a client is told whom nobody knows."""

from __future__ import annotations

import time
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from cloudscale.access.api_key import PREFIX
from cloudscale.access.authentication import BEARER, MISSING, TooManyAttemptsError
from cloudscale.access.caller import NotAllowedError, NotAuthenticatedError, require_scope
from cloudscale.access.challenge import challenge_of
from cloudscale.access.scopes import Scope
from cloudscale.ingestion.answers import unavailable
from cloudscale.ingestion.page_keys import key_in_query
from cloudscale.ingestion.problems import Kind, Problem, Refused
from cloudscale.limits.rates import Budget, Sender
from cloudscale.pipeline.ingestion import LARGEST_BATCH_EVENTS

if TYPE_CHECKING:
    from granian._granian import RSGIHeaders

    from cloudscale.access.authentication import Authentication
    from cloudscale.access.caller import Caller
    from cloudscale.access.records import Quota
    from cloudscale.errors import CloudScaleError
    from cloudscale.ingestion.problems import Headers

KEY: Final = f"bearer {PREFIX}_"
BURST_SECONDS: Final = 2
"""A tenant or key with a limit of its own may send so many seconds' worth at once."""
CACHED_BUDGETS: Final = 10_000


class Callers:
    """Authenticates the requests of one process.

    Where access is not required, a request without a key is anybody's, and so is one with a header of another kind,
    which may be meant for a proxy. A key that is sent all the same is checked and decides the tenant.
    """

    def __init__(self, authentication: Authentication, tenant_budget: Budget, *, required: bool) -> None:
        self._authentication = authentication
        self._tenant_budget = tenant_budget
        self._required = required

    async def of(self, headers: RSGIHeaders, client: str, *, query: str = "") -> Caller | None:
        """The sender of a request with these headers and query, who may send events; None for anybody.

        Raises:
            NotAuthenticatedError, NotAllowedError, TooManyAttemptsError, AccessUnavailableError: as of
                :meth:`cloudscale.access.authentication.Authentication.caller_of`.
        """
        authorization = headers.get("authorization")
        if query and (key := key_in_query(query)) is not None and (self._required or key.startswith(f"{PREFIX}_")):
            if "authorization" in headers:
                raise NotAuthenticatedError(
                    "there is a key in Authorization and another in the URL: send one", code="invalid_request"
                )
            return await self._of_page(key, client, headers.get("origin"))
        if not self._required and (authorization is None or authorization[: len(KEY)].lower() != KEY):
            return None
        if authorization is None and "authorization" in headers:
            raise NotAuthenticatedError("Authorization has characters that no key and no token has")
        if authorization is not None and len(headers.get_all("authorization")) > 1:  # type: ignore[attr-defined]
            # A proxy may have looked at another one.
            raise NotAuthenticatedError("Authorization stands there twice: send it once", code="invalid_request")
        caller = await self._authentication.caller_of(authorization, address=client, origin=headers.get("origin"))
        require_scope(caller, Scope.WRITE_EVENTS)
        return caller

    def require_attempt(self, client: str) -> None:
        """Make sure that a client may try a key that is not known yet.

        Raises:
            TooManyAttemptsError: it was wrong too often.
        """
        self._authentication.require_attempt(client, now_seconds=time.monotonic())

    async def of_body(self, key: str | None, client: str, *, origin: str | None) -> Caller | None:
        """The page of this origin that sent a body with this key, if it had one; None for anybody.

        Raises:
            NotAuthenticatedError, NotAllowedError, TooManyAttemptsError, AccessUnavailableError: as of :meth:`of`.
        """
        if key is not None:
            return await self._of_page(key, client, origin)
        if not self._required:
            return None
        # Its body was read before that was known.
        self._authentication.note_failure(client, now_seconds=time.monotonic())
        raise NotAuthenticatedError(MISSING, code="")

    async def _of_page(self, key: str, client: str, origin: str | None) -> Caller:
        """The owner of a key that stands where only a public one may."""
        caller = await self._authentication.caller_of(BEARER + key, address=client, origin=origin)
        if caller.origins is None:
            raise NotAllowedError(
                f"the key {caller.name} is secret, and only a key of a web page (keys create --origin) may stand in a "
                "URL or a body, which logs keep: send it in the header Authorization, and rotate it now"
            )
        require_scope(caller, Scope.WRITE_EVENTS)
        return caller

    def sender_of(self, caller: Caller | None, client: str) -> Sender:
        """Whom the limits count the caller's requests for. A server's address is the one of many users."""
        if caller is None:
            return Sender(client)
        quota = caller.quota
        budget = None if quota is None else _budget_of(quota, self._tenant_budget)
        rate = caller.requests_per_second
        key_budget = None if rate is None else Budget(max(1, round(BURST_SECONDS * rate)), rate)
        return Sender("" if caller.is_server else client, caller.name, caller.tenant_id, budget, key_budget)


@lru_cache(maxsize=CACHED_BUDGETS)
def _budget_of(quota: Quota, default: Budget) -> Budget | None:
    """The budget of a tenant with this quota; None if it has none of its own."""
    if quota.requests_per_second is None and quota.events_per_second is None:
        return None
    requests, events = (default.burst, default.per_second), (default.events_burst, default.events_per_second)
    if quota.requests_per_second is not None:
        requests = (max(1, round(BURST_SECONDS * quota.requests_per_second)), quota.requests_per_second)
    if quota.events_per_second is not None:
        burst = max(LARGEST_BATCH_EVENTS, round(BURST_SECONDS * quota.events_per_second))
        events = (burst, quota.events_per_second)
    return Budget(*requests, *events)


def refusal_of(error: CloudScaleError | Refused) -> tuple[Problem, Headers]:
    """What a client is told whose request has no sender that may send, and the headers that go with it."""
    if isinstance(error, Refused):
        return error.problem, []
    text = str(error)
    if isinstance(error, NotAuthenticatedError):
        return Problem(Kind.UNAUTHENTICATED, text, "unauthenticated"), _challenge(error)
    if isinstance(error, NotAllowedError):
        return Problem(Kind.FORBIDDEN, text, "scope" if error.scope else "forbidden"), _challenge(error)
    if isinstance(error, TooManyAttemptsError):
        seconds = max(1.0, error.retry_after_seconds)
        return Problem(Kind.RATE_LIMITED, text, "attempts", retry_after_seconds=seconds), []
    return unavailable(text, "access"), []


def _challenge(error: NotAuthenticatedError | NotAllowedError) -> Headers:
    challenge = challenge_of(error)
    return [] if challenge is None else [("www-authenticate", challenge)]
