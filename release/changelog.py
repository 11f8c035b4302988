"""The changelog, in the form of keepachangelog.com: what a release is told to bring, and the section that says so."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from release.errors import ReleaseError

if TYPE_CHECKING:
    from datetime import date

FILE = "CHANGELOG.md"
_HEADING = re.compile(r"(?m)^## \[(?P<version>[^]]+)\](?: - (?P<date>\d{4}-\d{2}-\d{2}))?$")
_LINKS = re.compile(r"(?m)^\[[^]]+\]: https?://\S+$")
_UNRELEASED_LINK = re.compile(r"(?m)^\[Unreleased\]: (?P<url>\S+/compare/)(?P<since>\S+)\.\.\.HEAD$")


def notes(text: str, version: str) -> str:
    """What the changelog says of a version, without its heading.

    Raises:
        ReleaseError: it has no dated section for it, or an empty one.
    """
    for heading, body in _sections(text):
        if heading["version"] == version:
            if heading["date"] is None:
                raise ReleaseError(f"the section {version} of {FILE} has no date: write ## [{version}] - YYYY-MM-DD")
            if not body:
                raise ReleaseError(f"the section {version} of {FILE} is empty")
            return body
    raise ReleaseError(f"{FILE} has no section {version}: run make version VERSION={version}")


def close(text: str, version: str, *, on: date) -> str:
    """The changelog after what is unreleased has become a version of this day.

    Raises:
        ReleaseError: it has that version already, or nothing that is unreleased, or no link that compares it.
    """
    sections = {heading["version"]: body for heading, body in _sections(text)}
    if version in sections:
        raise ReleaseError(f"{FILE} has a section {version} already")
    if not sections.get("Unreleased"):
        raise ReleaseError(f"{FILE} has nothing under [Unreleased]: say there what {version} brings")
    link = _UNRELEASED_LINK.search(text)
    if link is None:
        raise ReleaseError(f"{FILE} has no link of the form [Unreleased]: …/compare/SINCE...HEAD at its end")
    links = f"[Unreleased]: {link['url']}v{version}...HEAD\n[{version}]: {link['url']}{link['since']}...v{version}"
    text = text[: link.start()] + links + text[link.end() :]
    return text.replace("## [Unreleased]\n", f"## [Unreleased]\n\n## [{version}] - {on.isoformat()}\n", 1)


def _sections(text: str) -> list[tuple[re.Match[str], str]]:
    headings = list(_HEADING.finditer(text))
    ends = [heading.start() for heading in headings[1:]] + [len(text)]
    return [
        (heading, _LINKS.sub("", text[heading.end() : end]).strip())
        for heading, end in zip(headings, ends, strict=True)
    ]
