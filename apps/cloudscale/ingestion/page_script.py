"""The script that pages load, as it is served: without what only its readers need."""

from __future__ import annotations

import hashlib
import re
from importlib.resources import files
from string import ascii_letters
from typing import TYPE_CHECKING, Final

from starlette.responses import Response

if TYPE_CHECKING:
    from starlette.requests import Request

    from cloudscale.ingestion.cross_origin import CrossOrigin

PATH: Final = "/cloudscale.js"
REMEMBERED_SECONDS: Final = 3600
"""How long a browser need not ask whether there is another: after an upgrade, old pages go on so long with the old."""

_TOKEN: Final = re.compile(r'"[^"\n]*"|\$[a-z]+|\s*([{}()\[\]=<>,;:+*&|?!-])\s*')


def shorten(source: str) -> str:
    """A script in fewer bytes, the same on every machine.

    Args:
        source: it has comments on lines of their own, semicolons behind statements, no escapes in quotes, and names
            that begin with ``$`` where they may be renamed.
    """
    lines = (line.strip() for line in source.splitlines())
    text = " ".join(line for line in lines if not line.startswith("//"))
    letters = iter(ascii_letters)
    names: dict[str, str] = {}

    def shortened(found: re.Match[str]) -> str:
        if found[1] is not None:
            return found[1]
        if found[0].startswith("$"):
            return names.get(found[0]) or names.setdefault(found[0], next(letters))
        return found[0]

    return _TOKEN.sub(shortened, text.strip()).replace(";}", "}") + "\n"


class PageScript:
    """Answers requests for the script, which those pages may also load that check what they load."""

    def __init__(self, pages: CrossOrigin) -> None:
        self._pages = pages
        source = files("cloudscale.ingestion").joinpath("browser", "cloudscale.js").read_text(encoding="utf-8")
        self.content = shorten(source).encode()
        self._tag = f'"{hashlib.sha256(self.content).hexdigest()[:32]}"'

    async def answer(self, request: Request) -> Response:
        """The script, or 304 for whoever has it."""
        headers = {
            "etag": self._tag,
            "cache-control": f"public, max-age={REMEMBERED_SECONDS}",
            "x-content-type-options": "nosniff",
            "cross-origin-resource-policy": "cross-origin",
            **dict(self._pages.headers_for(request.headers.get("origin"))),
        }
        known = [each.strip().removeprefix("W/") for each in request.headers.get("if-none-match", "").split(",")]
        if self._tag in known or known == ["*"]:
            return Response(None, 304, headers)
        return Response(self.content, headers=headers, media_type="text/javascript")
