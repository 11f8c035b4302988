"""Refuses requests that send more than any route reads, before they fill the memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cloudscale.dashboard.responses import RefusedError

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

MAXIMUM_BODY_BYTES = 256 * 1024
"""The longest choice of dead letters, 10,000 numbers of up to 20 digits, is below it."""


class BodyLimit:
    """Lets a route read so much of a request and no more.

    It counts what arrives, since a client may declare no length or a wrong one. Nobody needs to be signed in to send
    a body, so it must hold for all.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on; reading too much of it raises a :class:`RefusedError` in the route that reads."""
        received = 0

        async def receive_some() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > MAXIMUM_BODY_BYTES:
                raise RefusedError(
                    413, f"The request is longer than {MAXIMUM_BODY_BYTES} bytes: ask for less at a time."
                )
            return message

        await self._app(scope, receive_some, send)
