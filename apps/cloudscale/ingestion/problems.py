"""Refusals as problem documents (RFC 9457): what was wrong, where, and what to do."""

from __future__ import annotations

import math
from collections.abc import Sequence
from enum import Enum

import msgspec

from cloudscale.events.checking import FieldError, InvalidEventError, TenantId

CONTENT_TYPE = "application/problem+json"

SAMPLE_BYTES = 2000
"""Of a refused event, what is kept for those who run the pipeline."""

Headers = list[tuple[str, str]]


class Kind(Enum):
    """What a refusal is about, with how HTTP says it: the status, the last part of the problem's type, its title."""

    INVALID = (400, "invalid-event", "The event cannot be accepted")
    UNAUTHENTICATED = (401, "unauthenticated", "Nobody is known to send this")
    FORBIDDEN = (403, "forbidden", "The sender may not send this")
    NOT_FOUND = (404, "not-found", "There is nothing here")
    METHOD_NOT_ALLOWED = (405, "method-not-allowed", "This method is not for this address")
    TOO_SLOW = (408, "too-slow", "The request did not arrive in time")
    DUPLICATE = (409, "duplicate", "The event was accepted before")
    TOO_LARGE = (413, "too-large", "The request is too large")
    UNSUPPORTED = (415, "unsupported-media-type", "The content is in a form that is not understood")
    CONFLICT = (422, "idempotency-conflict", "The key was used for another event")
    RATE_LIMITED = (429, "rate-limited", "Too many requests")
    INTERNAL = (500, "internal-error", "The server made a mistake")
    UNAVAILABLE = (503, "unavailable", "The event cannot be taken now")

    @property
    def status(self) -> int:
        """The status code of the answer."""
        return self.value[0]


KINDS_BY_STATUS = {kind.status: kind for kind in Kind}


class Problem(msgspec.Struct, frozen=True, gc=False):
    """A refusal. ``reason`` is a short name for metrics, ``retry_after_seconds`` is 0 where waiting does not help."""

    kind: Kind
    detail: str
    reason: str
    errors: Sequence[FieldError] = ()
    retry_after_seconds: float = 0.0
    event_id: str = ""
    tenant_id: str = ""
    """For those who run the pipeline, not for the answer: the tenant of the event, if it names one."""
    content: bytes = b""
    """Likewise: what was sent, or its beginning."""

    @property
    def status(self) -> int:
        """The status code of the answer."""
        return self.kind.status

    def as_object(self, correlation_id: str, instance: str = "") -> dict[str, object]:
        """The members of the problem document."""
        status, name, title = self.kind.value
        members: dict[str, object] = {
            "type": f"urn:cloudscale:problem:{name}",
            "title": title,
            "status": status,
            "detail": self.detail,
            "correlationId": correlation_id,
        }
        if instance:
            members["instance"] = instance
        if self.errors:
            members["errors"] = self.errors
        if self.event_id:
            members["id"] = self.event_id
        return members

    def headers(self) -> Headers:
        """The headers that go with it, names in lower case."""
        headers = [("content-type", CONTENT_TYPE)]
        if self.retry_after_seconds > 0:
            headers.append(("retry-after", str(math.ceil(self.retry_after_seconds))))
        return headers


class Refused(Exception):  # noqa: N818 - it is an answer, not an error of the program
    """The request has a problem; raised where it is found."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        super().__init__(problem.detail)


def refuse(kind: Kind, detail: str, reason: str, *errors: FieldError) -> Refused:
    """A refusal to raise."""
    return Refused(Problem(kind, detail, reason, errors))


def render(problem: Problem, *, correlation_id: str, instance: str = "") -> bytes:
    """The problem document as JSON."""
    return msgspec.json.encode(problem.as_object(correlation_id, instance))


def invalid(error: InvalidEventError, event: object, content: bytes) -> Problem:
    """The problem of an event with wrong fields. ``event`` is what could be read of ``content``."""
    detail = f"{len(error.errors)} wrong: {error}"[:1000]
    return Problem(
        Kind.INVALID,
        detail,
        "validation",
        error.errors[:100],
        tenant_id=tenant_of(event),
        content=content[:SAMPLE_BYTES],
    )


def tenant_of(event: object) -> str:
    """The tenant that an event names, though it may be wrong otherwise; empty if it names none."""
    try:
        return msgspec.convert(event["tenantId"], TenantId) if isinstance(event, dict) else ""
    except (KeyError, msgspec.ValidationError):
        return ""
