"""The dashboard's own pages, scripts and styles, read from the package: nothing is fetched from elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from starlette.responses import FileResponse, Response
from starlette.staticfiles import StaticFiles

if TYPE_CHECKING:
    import os

    from starlette.requests import Request
    from starlette.types import Scope

DIRECTORY = Path(__file__).parent / "static"


class Assets(StaticFiles):
    """Scripts and styles, revalidated at each load so that an upgrade shows at once."""

    def file_response(
        self, full_path: str | os.PathLike[str], stat_result: os.stat_result, scope: Scope, status_code: int = 200
    ) -> Response:
        """The file with its caching rule."""
        response = super().file_response(full_path, stat_result, scope, status_code)
        response.headers["cache-control"] = "no-cache"
        return response


def assets() -> Assets:
    """The application that serves the static files."""
    return Assets(directory=DIRECTORY)


def page(_request: Request, name: str) -> Response:
    """One of the HTML pages."""
    return FileResponse(DIRECTORY / name, headers={"cache-control": "no-cache"})
