"""Refusals of the dashboard's port as problem documents (RFC 9457), with the challenge of RFC 6750 where there is one.

Where ingestion refuses for the same reason, the type is the same.
"""

from __future__ import annotations

import math
from enum import Enum
from typing import TYPE_CHECKING, Final

import msgspec
from starlette.responses import Response

from cloudscale.access.authentication import TooManyAttemptsError
from cloudscale.access.caller import AccessUnavailableError, NotAllowedError, NotAuthenticatedError
from cloudscale.access.challenge import challenge_of
from cloudscale.errors import BackendError, CloudScaleError, ConfigurationError, ThrottledError
from cloudscale.store.tenant_view import NotVisibleError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

CONTENT_TYPE: Final = "application/problem+json"
RETRY_SECONDS: Final = 1.0


class Kind(Enum):
    """What a refusal is about: the status, the last part of the problem's type, its title."""

    INVALID = (400, "invalid-request", "The request cannot be understood")
    NOT_AUTHENTICATED = (401, "unauthenticated", "A key or token is needed")
    NOT_ALLOWED = (403, "forbidden", "The key or token does not allow this")
    NOT_FOUND = (404, "not-found", "There is nothing here")
    METHOD_NOT_ALLOWED = (405, "method-not-allowed", "This method is not for this address")
    CONFLICT = (409, "conflict", "This does not go with what is there")
    TOO_LARGE = (413, "too-large", "The request is too large")
    RATE_LIMITED = (429, "rate-limited", "Too many requests")
    MISCONFIGURED = (500, "misconfigured", "This pipeline is not configured right")
    UNAVAILABLE = (503, "unavailable", "This is not available now")

    @property
    def status(self) -> int:
        """The status code of the answer."""
        return self.value[0]

    @property
    def type(self) -> str:
        """The type of the problem document."""
        return f"urn:cloudscale:problem:{self.value[1]}"


KINDS_BY_STATUS: Final = {kind.status: kind for kind in Kind}


class ParameterError(msgspec.Struct, frozen=True):
    """What is wrong with one parameter of the query."""

    parameter: str
    message: str


class Problem(msgspec.Struct, omit_defaults=True):
    """A refusal (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    errors: list[ParameterError] = []


class RefusedReadingError(CloudScaleError):
    """A request of the reading API is refused. ``headers`` go with the answer."""

    def __init__(
        self,
        kind: Kind,
        detail: str,
        *,
        errors: Sequence[ParameterError] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.kind = kind
        self.detail = detail
        self.errors = list(errors)
        self.headers = dict(headers or {})
        super().__init__(detail)


def refusal_of(error: CloudScaleError) -> RefusedReadingError:
    """What an error of the access layer or of the store means to a caller, who cannot mend a backend."""
    if isinstance(error, RefusedReadingError):
        return error
    if isinstance(error, NotAuthenticatedError | NotAllowedError):
        kind = Kind.NOT_AUTHENTICATED if isinstance(error, NotAuthenticatedError) else Kind.NOT_ALLOWED
        challenge = challenge_of(error)
        return RefusedReadingError(kind, str(error), headers={"WWW-Authenticate": challenge} if challenge else {})
    if isinstance(error, TooManyAttemptsError):
        return RefusedReadingError(Kind.RATE_LIMITED, str(error), headers=retry_after(error.retry_after_seconds))
    if isinstance(error, NotVisibleError):
        return RefusedReadingError(Kind.NOT_ALLOWED, "The key or token is for another tenant.")
    if isinstance(error, AccessUnavailableError):
        return unavailable("Whether the key or token holds cannot be found out now: try again.")
    wait_seconds = error.retry_after_seconds if isinstance(error, ThrottledError) else RETRY_SECONDS
    if isinstance(error, BackendError | ConfigurationError):
        return unavailable("The store cannot be read now: try again.", wait_seconds=wait_seconds)
    raise error


def unavailable(detail: str, *, wait_seconds: float = RETRY_SECONDS) -> RefusedReadingError:
    """What is answered while something is away."""
    return RefusedReadingError(Kind.UNAVAILABLE, detail, headers=retry_after(wait_seconds))


def retry_after(seconds: float) -> dict[str, str]:
    """The header that says how long to wait."""
    return {"Retry-After": str(max(1, math.ceil(seconds)))}


def answer(refused: RefusedReadingError) -> Response:
    """The response that says why a request was refused."""
    return respond(refused.kind, refused.detail, errors=refused.errors, headers=refused.headers)


def respond(
    kind: Kind, detail: str, *, errors: Sequence[ParameterError] = (), headers: Mapping[str, str] | None = None
) -> Response:
    """A problem document."""
    status, _, title = kind.value
    problem = Problem(kind.type, title, status, detail, [*errors])
    return Response(msgspec.json.encode(problem), status, headers, CONTENT_TYPE)
