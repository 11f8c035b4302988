"""How the site is built: Markdown in this folder, the reference from the code, no network."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sphinx.application import Sphinx

DOCS = Path(__file__).parent
ROOT = DOCS.parent
sys.path[:0] = [str(ROOT)]

from docs.generator.pages import write_pages  # noqa: E402 - the checkout is no installed package

SOURCE = "https://github.com/cloudscale/cloudscale/blob/main/"
_LINK = re.compile(r"\]\((\.\.?/[^)#\s]*)")

project = "CloudScale"
author = "The CloudScale founders"
extensions = ["myst_parser"]
exclude_patterns = ["_build", "clients", "generator"]
myst_heading_anchors = 4
html_theme = "furo"
html_title = "CloudScale"
html_copy_source = False
html_theme_options = {"source_repository": "https://github.com/cloudscale/cloudscale/", "source_directory": "docs/"}


def _write_reference(_: Sphinx) -> None:
    write_pages(DOCS / "reference")


def _lead_to_the_repository(_: Sphinx, name: str, source: list[str]) -> None:
    """Let links that leave this folder lead to the repository: on the site there is nothing outside of it."""
    folder = (DOCS / name).parent

    def lead(match: re.Match[str]) -> str:
        target = (folder / match[1]).resolve()
        return match[0] if target.is_relative_to(DOCS) else f"]({SOURCE}{target.relative_to(ROOT)}"

    source[0] = _LINK.sub(lead, source[0])


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx with the application that builds the site."""
    app.connect("builder-inited", _write_reference)
    app.connect("source-read", _lead_to_the_repository)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
