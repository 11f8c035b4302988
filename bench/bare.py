"""The ceiling: a Starlette handler on Granian that only parses the event, with no check and nothing stored."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import msgspec
from granian import Granian
from granian.constants import HTTPModes, Interfaces, Loops
from granian.log import LogLevels
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route

if TYPE_CHECKING:
    from starlette.requests import Request

ACCEPTED = b'{"status":"parsed"}'


async def post(request: Request) -> Response:
    """Parse the event and answer."""
    msgspec.json.decode(await request.body())
    return Response(ACCEPTED, 202, media_type="application/json")


application = Starlette(routes=[Route("/api/v1/events", post, methods=["POST"])])


if __name__ == "__main__":
    Granian(
        "bench.bare:application",
        port=int(sys.argv[1]),
        interface=Interfaces.ASGI,
        loop=Loops.uvloop,
        http=HTTPModes.http1,
        websockets=False,
        log_level=LogLevels.error,
    ).serve()
