"""The version: written in one place, repeated where a file cannot read it from there."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from release.errors import ReleaseError

if TYPE_CHECKING:
    from pathlib import Path

SOURCE = "apps/cloudscale/__init__.py"
"""Where the version stands. Package and image take it from there."""

TAG_PREFIX = "v"
_VERSION = re.compile(r"(0|[1-9]\d*)(\.(0|[1-9]\d*)){2}")
_SOURCE_LINE = re.compile(r'(?m)^__version__ = "(?P<version>[^"]*)"$')


@dataclass(frozen=True)
class Repetition:
    """A line of a file that says the version again, because its format has no way to read it elsewhere."""

    file: str
    line: re.Pattern[str]
    """With a group ``version``."""


_CHART_VERSION = re.compile(r"(?m)^version: (?P<version>.*)$")
_APP_VERSION = re.compile(r"(?m)^appVersion: (?P<version>.*)$")
_DEPENDENCY = re.compile(r"(?m)^  - name: cloudscale\n    version: (?P<version>.*)$")

REPETITIONS = (
    *(
        Repetition(f"charts/{chart}/Chart.yaml", line)
        for chart in ("cloudscale", "cloudscale-backends", "cloudscale-keda")
        for line in (_CHART_VERSION, _APP_VERSION)
    ),
    Repetition("charts/cloudscale-keda/Chart.yaml", _DEPENDENCY),
)


def parse_tag(tag: str) -> str:
    """The version that a tag such as ``v1.2.3`` names.

    Raises:
        ReleaseError: it names none.
    """
    version = tag.removeprefix(TAG_PREFIX)
    if version == tag or not _VERSION.fullmatch(version):
        raise ReleaseError(f"the tag {tag} is not of the form v1.2.3")
    return version


def current(root: Path) -> str:
    """The version of a checkout.

    Raises:
        ReleaseError: the file that holds it does not say it in one line.
    """
    return _found(root, Repetition(SOURCE, _SOURCE_LINE))


def disagreements(root: Path) -> list[str]:
    """Every file that says another version than :data:`SOURCE`, a sentence each.

    Raises:
        ReleaseError: a file does not say its version in the line that is looked for.
    """
    version = current(root)
    found = {each: _found(root, each) for each in REPETITIONS}
    return [
        f"{each.file} says {said} where {SOURCE} says {version}: run make version VERSION={version}"
        for each, said in found.items()
        if said != version
    ]


def write(root: Path, version: str) -> None:
    """Write another version wherever it stands.

    Raises:
        ReleaseError: it is not of the form 1.2.3, or a file has no line for it.
    """
    if not _VERSION.fullmatch(version):
        raise ReleaseError(f"{version} is not of the form 1.2.3, which Python packages and charts both take")
    for each in (Repetition(SOURCE, _SOURCE_LINE), *REPETITIONS):
        _found(root, each)
        path = root / each.file
        text = path.read_text()
        match = each.line.search(text)
        assert match is not None  # noqa: S101 - found above
        start, end = match.span("version")
        path.write_text(text[:start] + version + text[end:])


def _found(root: Path, repetition: Repetition) -> str:
    matches = list(repetition.line.finditer((root / repetition.file).read_text()))
    if len(matches) != 1:
        raise ReleaseError(
            f"{repetition.file} has {len(matches)} lines of the form {repetition.line.pattern}: it should have one"
        )
    return matches[0]["version"]
