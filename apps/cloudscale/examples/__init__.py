"""Pipelines and events to try things with. They come with the package, so that none of it needs a clone."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

from cloudscale.errors import ConfigurationError

_FOLDER = Path(__file__).parent


class Kind(StrEnum):
    """What an example is, and how the name of its file ends."""

    PIPELINE = ".yaml"
    EVENTS = ".jsonl"

    @property
    def label(self) -> str:
        """The word for it."""
        return self.name.lower()


def names(kind: Kind) -> list[str]:
    """The names of all examples of a kind, in the order of the alphabet."""
    return sorted(path.stem for path in _FOLDER.glob(f"*{kind.value}"))


def find(name: str, *, kind: Kind) -> Path:
    """The file of an example.

    Raises:
        ConfigurationError: there is none of that name and kind; the message names those that there are.
    """
    known = names(kind)
    if name not in known:
        raise ConfigurationError(f"there is no example {name} of kind {kind.label}: choose one of {', '.join(known)}")
    return _FOLDER / f"{name}{kind.value}"


def find_any(name: str) -> Path:
    """The file of an example, whatever it is.

    Raises:
        ConfigurationError: there is none of that name; the message names those that there are.
    """
    for kind in Kind:
        if name in names(kind):
            return find(name, kind=kind)
    known = ", ".join(each for kind in Kind for each in names(kind))
    raise ConfigurationError(f"there is no example {name}: choose one of {known}")


def describe(name: str, *, kind: Kind) -> str:
    """What an example shows, in a phrase: the first sentence of its comment, or how many events it holds.

    Raises:
        ConfigurationError: there is none of that name and kind.
    """
    lines = find(name, kind=kind).read_text().splitlines()
    if kind is Kind.EVENTS:
        return f"{len(lines):,} events, one a line"
    comment = " ".join(line.removeprefix("#").strip() for line in lines if line.startswith("#"))
    return comment.partition(". ")[0].removesuffix(".")
