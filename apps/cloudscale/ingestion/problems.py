"""Refusals as problem documents (RFC 9457): what was wrong, where, and what to do."""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec

from cloudscale.events.checking import FieldError

CONTENT_TYPE = "application/problem+json"

Headers = list[tuple[str, str]]

TITLES = {
    400: ("invalid-event", "The event cannot be accepted"),
    404: ("not-found", "There is nothing here"),
    405: ("method-not-allowed", "This method is not for this address"),
    408: ("too-slow", "The request did not arrive in time"),
    409: ("duplicate", "The event was accepted before"),
    413: ("too-large", "The request is too large"),
    415: ("unsupported-media-type", "The content is in a form that is not understood"),
    422: ("idempotency-conflict", "The key was used for another event"),
    429: ("rate-limited", "Too many requests"),
    500: ("internal-error", "The server made a mistake"),
    503: ("unavailable", "The event cannot be taken now"),
}


class Problem(msgspec.Struct, frozen=True, gc=False):
    """A refusal. ``reason`` is a short name for metrics, ``retry_after_seconds`` is 0 where waiting does not help."""

    status: int
    detail: str
    reason: str
    errors: Sequence[FieldError] = ()
    retry_after_seconds: float = 0.0
    event_id: str = ""

    def as_object(self, correlation_id: str, instance: str = "") -> dict[str, object]:
        """The members of the problem document."""
        name, title = TITLES[self.status]
        members: dict[str, object] = {
            "type": f"urn:cloudscale:problem:{name}",
            "title": title,
            "status": self.status,
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


def render(problem: Problem, *, correlation_id: str, instance: str = "") -> bytes:
    """The problem document as JSON."""
    return msgspec.json.encode(problem.as_object(correlation_id, instance))
