"""The links of the documentation's pages, their anchors, and the symbols that they name."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING, NamedTuple

from docs.generator.pages import PAGES
from tests.docs.blocks import DOCS, ROOT, pages

if TYPE_CHECKING:
    from pathlib import Path

_LINK = re.compile(r"\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)\s]+)\)")
_FENCED = re.compile(r"^[ \t]*```.*?^[ \t]*```[ \t]*$", re.MULTILINE | re.DOTALL)


class Link(NamedTuple):
    """A link: the page it stands on, its text, the file and the anchor that it leads to."""

    page: Path
    text: str
    target: str
    anchor: str

    @property
    def file(self) -> Path:
        """The file that it leads to."""
        return (self.page.parent / self.target).resolve() if self.target else self.page

    @property
    def symbol(self) -> str:
        """The name in code that its text is, if it is one and the target is a source."""
        named = re.fullmatch(r"`([A-Za-z_][\w.]*)(?:\(\))?`", self.text)
        return named[1] if named and self.file.suffix in {".py", ".lua"} else ""


def links() -> list[Link]:
    """Every link of every page that leads into this repository."""
    found = []
    for page in [*pages(), ROOT / "bench" / "README.md"]:
        for text, address in _LINK.findall(_FENCED.sub("", page.read_text())):
            if not address.startswith(("https://", "http://", "mailto:")):
                target, _, anchor = address.partition("#")
                found.append(Link(page, text, target, anchor))
    return found


def content_of(file: Path) -> str | None:
    """A page's text, also of a page that is made when the site is built; None if there is none."""
    if file.parent == DOCS / "reference":
        render = PAGES.get(file.name)
        return render() if render else None
    return file.read_text() if file.is_file() else None


def anchors_of(text: str) -> set[str]:
    """The anchors of a page's headings, as GitHub and the site make them."""
    headings = re.findall(r"^#+ (.+)$", _FENCED.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", re.sub(r"[`*]", "", heading).lower()).replace(" ", "-") for heading in headings}


def symbols_of(source: Path) -> set[str]:
    """What a source defines: names, and the members of classes as ``Class.member``."""
    if source.suffix != ".py":
        return set(re.findall(r"[A-Za-z_]\w*", source.read_text()))
    return {name for node in ast.parse(source.read_text()).body for name in _names(node, "")}


def _names(node: ast.AST, before: str) -> set[str]:
    if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        own = before + node.name
        inside = node.body if isinstance(node, ast.ClassDef) else []
        return {own}.union(*(_names(member, f"{own}.") for member in inside))
    if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
        return {before + node.target.id}
    if isinstance(node, ast.Assign):
        return {before + target.id for target in node.targets if isinstance(target, ast.Name)}
    return set()
