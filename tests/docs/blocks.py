"""The fenced blocks of the documentation's pages, and what there is to know of a shell block without running it."""

from __future__ import annotations

import re
import shlex
import textwrap
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"

RUN = "sh"
"""Language of a block that is run, line by line as a reader would."""

CHECKED = "bash"
"""Language of a block that needs a cluster or Azure, so that it is read and not run."""

_FENCE = re.compile(r"^([ \t]*)```(\{?\w*\}?)[^\n]*\n(.*?)^\1```[ \t]*$", re.MULTILINE | re.DOTALL)
_PLACEHOLDER = re.compile(r"\b[A-Z][A-Z0-9]+\b")


class Block(NamedTuple):
    """A fenced block: where it stands, its language, its text without the page's indentation."""

    page: str
    language: str
    text: str


def pages() -> list[Path]:
    """Every page that is written by hand."""
    own = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md") if (ROOT / name).exists()]
    skipped = {DOCS / "reference", DOCS / "_build"}
    return own + sorted(page for page in DOCS.rglob("*.md") if not skipped.intersection(page.parents))


def blocks_of(page: Path) -> list[Block]:
    """The blocks of one page."""
    name = page.relative_to(ROOT).as_posix()
    return [Block(name, language, textwrap.dedent(text)) for _, language, text in _FENCE.findall(page.read_text())]


def all_blocks(*languages: str) -> list[Block]:
    """The blocks of all pages in one of these languages."""
    return [block for page in pages() for block in blocks_of(page) if block.language in languages]


def commands_of(text: str) -> list[list[str]]:
    """The words of each simple command in a shell text, without heredocs, comments and what substitutions print."""
    text = re.sub(r"<<'?(\w+)'?[^\n]*\n.*?^\1$", "", text, flags=re.MULTILINE | re.DOTALL)
    text = text.replace("\\\n", " ")
    text = re.sub(r"\$\(|\)(?=\s|$)", "\n", text)
    found = []
    for line in text.splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars="|&;<>")
        lexer.commenters = "#"
        try:
            words = list(lexer)
        except ValueError:  # a quote that a substitution was cut out of
            words = line.split()
        command: list[str] = []
        for word in words:
            if set(word) <= set("|&;"):
                found.append(command)
                command = []
            else:
                command.append(word)
        found.append(command)
    return [command for command in found if command]


def heredocs_of(text: str) -> list[str]:
    """The texts of a shell text's heredocs."""
    return [body for _, body in re.findall(r"<<'?(\w+)'?[^\n]*\n(.*?)^\1$", text, re.MULTILINE | re.DOTALL)]


def cloudscale_words(command: list[str]) -> list[str] | None:
    """The words after ``cloudscale`` where it is what a command runs, also by ``kubectl exec … --``."""
    rest = command[command.index("--") + 1 :] if command[0] == "kubectl" and "--" in command else command
    while rest and re.match(r"^\w+=", rest[0]):
        rest = rest[1:]
    return rest[1:] if rest and Path(rest[0]).name == "cloudscale" else None


def files_named(command: list[str]) -> list[str]:
    """The words of a command that are paths of this repository, by their first part."""
    top = {entry.name for entry in ROOT.iterdir() if entry.is_dir() and not entry.name.startswith(".")}
    words = [word.rpartition("=")[2] for word in command]
    return [word for word in words if word.partition("/")[0] in top and "/" in word and not _PLACEHOLDER.search(word)]
