"""Cross-origin requests (CORS, Fetch, section 3.3): which pages' scripts may send events and read the answers.

The event routes speak RSGI, so Starlette's middleware does not fit them, and what is needed of it is little: the
origins are known at the start, so that an answer costs one look-up. Cookies have no meaning here, so no answer allows
credentials.
"""

from __future__ import annotations

from secrets import token_hex
from typing import TYPE_CHECKING, Final

import msgspec

from cloudscale.events.cloudevents import HEADER_PREFIX
from cloudscale.ingestion.answers import Answer, refusal
from cloudscale.ingestion.problems import Kind, Problem

if TYPE_CHECKING:
    from collections.abc import Sequence

    from granian._granian import RSGIHeaders

    from cloudscale.ingestion.problems import Headers

ALLOWED_HEADERS: Final = (
    *("authorization", "content-type", "content-encoding", "idempotency-key", "x-correlation-id", "traceparent"),
    *(
        f"{HEADER_PREFIX}{name}"
        for name in ("specversion", "type", "id", "source", "time", "subject", "dataschema", "tenantid", "userid")
    ),
)
EXPOSED_HEADERS: Final = (
    *("retry-after", "ratelimit-limit", "ratelimit-remaining", "ratelimit-reset", "ratelimit-policy"),
    *("www-authenticate", "x-correlation-id"),
)
REMEMBERED_SECONDS: Final = 7200
"""As long as Chromium remembers a preflight at the most."""
METHODS: Final = "POST"

_VARY: Final = ("vary", "origin")


class CrossOrigin:
    """What one pipeline's pages are allowed.

    Args:
        origins: whose scripts may send, each as a browser's ``Origin`` header has it.
    """

    def __init__(self, origins: Sequence[str]) -> None:
        self._headers: dict[str | None, Headers] = {
            origin: [
                _VARY,
                ("access-control-allow-origin", origin),
                ("access-control-expose-headers", ", ".join(EXPOSED_HEADERS)),
            ]
            for origin in origins
        }
        self._others: Headers = [_VARY] if origins else []

    def __contains__(self, origin: str | None) -> bool:
        """Whether scripts of pages of this origin may send."""
        return origin in self._headers

    def headers_for(self, origin: str | None) -> Headers:
        """What an answer to a page of this origin needs besides, for its script to read it."""
        return self._headers.get(origin, self._others)

    def readable(self, answer: Answer, headers: RSGIHeaders) -> Answer:
        """The answer to a request with these headers, readable for the script that sent it if it may."""
        return msgspec.structs.replace(answer, headers=[*answer.headers, *self.headers_for(headers.get("origin"))])

    def preflight(self, path: str, headers: RSGIHeaders) -> Answer:
        """The answer to ``OPTIONS``: whether a script may send here, and what. Nothing else is looked at for it."""
        origin = headers.get("origin")
        if "origin" not in headers or "access-control-request-method" not in headers:
            return Answer(204, [*self._others, ("allow", f"OPTIONS, {METHODS}")], b"")
        if origin not in self:
            detail = "pages of this origin may not send: spec.access.browser.origins lists those that may"
            problem = Problem(Kind.FORBIDDEN, detail, "origin")
            return refusal(problem, correlation_id=token_hex(16), instance=path, extra=self._others)
        allowed = [
            ("access-control-allow-methods", METHODS),
            ("access-control-allow-headers", ", ".join(ALLOWED_HEADERS)),
            ("access-control-max-age", str(REMEMBERED_SECONDS)),
        ]
        return Answer(204, [*self.headers_for(origin), *allowed], b"")
