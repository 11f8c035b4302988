"""What contributors, users and reporters are told: what it names is there."""

from __future__ import annotations

import re
from itertools import product
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCUMENTS = ("CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md", "CODE_OF_CONDUCT.md")
LINK = re.compile(r"\]\(([^)\s]+)\)")
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text()


def read(name: str) -> str:
    """A document's text."""
    return (ROOT / name).read_text()


@pytest.mark.parametrize(("name", "link"), [(name, link) for name in DOCUMENTS for link in LINK.findall(read(name))])
def test_what_is_linked_is_there(name: str, link: str) -> None:
    path, _, anchor = link.partition("#")
    if path.startswith("https://"):
        return
    target = ROOT / (path or name)
    assert target.exists()
    if anchor:
        headings = re.findall(r"^#+ (.+)$", target.read_text(), re.MULTILINE)
        assert anchor in {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_folders_that_contributors_are_told_of_are_there() -> None:
    (table,) = re.findall(r"^\| folder \| what \|$(.+?)^$", CONTRIBUTING, re.MULTILINE | re.DOTALL)
    cells = [line.split("|")[1] for line in table.strip().splitlines()[1:]]
    for written in re.findall(r"`([^`]+)`", " ".join(cells)):
        # `a/{b,c}/d` stands for two folders.
        parts = [part.strip("{}").split(",") for part in written.strip("/").split("/")]
        for folder in product(*parts):
            assert ROOT.joinpath(*folder).is_dir(), folder


@pytest.mark.parametrize("target", sorted(set(re.findall(r"\bmake ([a-z][a-z0-9-]+)", CONTRIBUTING))))
def test_what_can_be_made_is_in_the_makefile(target: str) -> None:
    assert re.search(rf"^{target}:.*##", read("Makefile"), re.MULTILINE)


def test_the_programs_and_tests_that_contributors_are_told_of_are_there() -> None:
    modules = re.findall(r"`python -m ([\w.]+)", CONTRIBUTING)
    assert modules
    for module in modules:
        parts = module.split(".")
        assert any((root / Path(*parts)).with_suffix(".py").exists() for root in (ROOT, ROOT / "apps")), module
    files = re.findall(r"pytest (tests/\S+\.py)", CONTRIBUTING)
    assert files
    assert all((ROOT / file).exists() for file in files)


def test_contributors_are_told_parts_that_ci_has() -> None:
    (parts,) = re.findall(r"^all_parts=\((.+)\)$", read(".ci/run"), re.MULTILINE)
    assert set(re.findall(r"`\.ci/run ([a-z]+)`", CONTRIBUTING)) <= set(parts.split())
