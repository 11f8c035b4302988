"""Beacons whose key is in their body: those of pages that do not want it in the URL.

Who sends one is not known before it is read. So that is done only for what ``navigator.sendBeacon`` can send, from
pages that the resource names, within the size of a beacon, and for clients that have not been wrong or sent too much.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from cloudscale.ingestion.page_keys import key_in_query, take_key_out

if TYPE_CHECKING:
    from granian._granian import RSGIHTTPProtocol as HTTPProtocol
    from granian.rsgi import Scope

    from cloudscale.access.caller import Caller
    from cloudscale.ingestion.bodies import Bodies, BodyMemory
    from cloudscale.ingestion.callers import Callers
    from cloudscale.ingestion.cross_origin import CrossOrigin
    from cloudscale.ingestion.requests import Request

TEXT: Final = "text/plain"
MAXIMUM_BEACON_BYTES: Final = 65_536
"""What browsers let all beacons of a page have that are on their way (Fetch, section 4.5)."""


class Beacon(NamedTuple):
    """A beacon whose sender is known."""

    caller: Caller | None
    """Who sent it; None for anybody."""
    content: bytes
    """Without the key."""

    async def read(self) -> bytes:
        """The content, which is there already."""
        return self.content


class Beacons:
    """Reads the beacons of one process."""

    def __init__(self, pages: CrossOrigin, bodies: Bodies) -> None:
        self._pages = pages
        self._bodies = bodies

    def may_be(self, scope: Scope) -> bool:
        """Whether the request may have a key in its body, and has none elsewhere."""
        headers = scope.headers
        if "authorization" in headers or headers.get("origin") not in self._pages:
            return False
        media_type = (headers.get("content-type") or "").partition(";")[0].strip().lower()
        return media_type == TEXT and key_in_query(scope.query_string) is None

    async def read(
        self, protocol: HTTPProtocol, request: Request, memory: BodyMemory, *, callers: Callers, of_batch: bool
    ) -> Beacon:
        """Such a request, read.

        Raises:
            Refused: the body cannot be read.
            NotAuthenticatedError, NotAllowedError, TooManyAttemptsError, AccessUnavailableError: as of
                :meth:`cloudscale.ingestion.callers.Callers.of`.
        """
        callers.require_attempt(request.client)
        content = await self._bodies.read(protocol, request, memory, limit=MAXIMUM_BEACON_BYTES)
        key, content = take_key_out(content, of_batch=of_batch)
        return Beacon(await callers.of_body(key, request.client, origin=request.header("origin")), content)
