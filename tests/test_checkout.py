"""A clone works wherever it lies: nothing in it but ``.ci/run`` knows of folders beside it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[1]
KNOWS = ROOT / ".ci" / "run"
NOT_OURS = {".git", ".pytest_cache", "__pycache__", "node_modules", "vendor", "htmlcov", "dist", "_build"}
UPWARD = re.compile(r"(?:\.\./)+[\w@-][\w.@-]*(?:/[\w.@-]+)*")
"""A path that begins with the folder above."""
ABOVE_THE_ROOT = re.compile(r"\bROOT\.parent\b|\bROOT\.parents\b|\bROOT / \"\.\.")


def files() -> Iterator[tuple[Path, str]]:
    """Every text of the clone, without what tools leave behind."""
    for folder, folders, names in os.walk(ROOT):
        here = Path(folder)
        folders[:] = [
            name for name in folders if name not in NOT_OURS and not name.startswith((".venv", ".cloudscale", ".mypy"))
        ]
        for name in names:
            path = here / name
            # Tests that run beside this one write what they cover to files of the root, which come and go.
            if path == KNOWS or name.startswith(".coverage") or path.is_symlink() or path.stat().st_size > 2_000_000:
                continue
            try:
                yield path, path.read_text()
            except UnicodeDecodeError:
                continue


def leads_outside(path: str, *, file: Path) -> bool:
    """Whether a path that begins with ``..`` leads out of the clone, from the file that names it or from the root.

    Scripts change to the root first, while links and imports count from their file: what is there counts from it, and
    so does what a page links to, which may have to be made first.
    """
    if file.suffix == ".md" or (file.parent / path).exists():
        return not (file.parent / path).resolve().is_relative_to(ROOT)
    return not (ROOT / path).resolve().is_relative_to(ROOT)


def test_no_file_names_a_folder_beside_the_clone() -> None:
    tests = ROOT / "tests"
    found = [
        f"{file.relative_to(ROOT)}: {path}"
        for file, text in files()
        # The tests hold paths that attackers would send.
        if not file.is_relative_to(tests)
        for path in UPWARD.findall(text)
        if leads_outside(path, file=file)
    ]
    assert found == []


def test_no_program_looks_above_the_root() -> None:
    found = [
        str(file.relative_to(ROOT))
        for file, text in files()
        if file.suffix == ".py" and file != Path(__file__) and ABOVE_THE_ROOT.search(text)
    ]
    assert found == []


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A clone with all that CI's machines have beside theirs; what is there would say that it was used."""
    clone = tmp_path / "clone"
    shutil.copytree(ROOT / "kind", clone / "kind")
    shutil.copytree(ROOT / ".ci", clone / ".ci")
    shutil.copy(ROOT / "Makefile", clone)
    (tmp_path / "shared" / "offline-kind").mkdir(parents=True)
    (tmp_path / "shared" / "data").mkdir()
    (tmp_path / "shared" / "data" / "cdnow-purchases.jsonl.gz").touch()
    install = tmp_path / "shared" / "offline-kind" / "install"
    install.write_text(f"#!/bin/sh\ntouch {tmp_path}/used\n")
    install.chmod(0o755)
    (tmp_path / "tools").mkdir()
    for tool in ("docker", "kind", "helm", "kubectl"):
        (tmp_path / "tools" / tool).write_text("#!/bin/sh\n")
        (tmp_path / "tools" / tool).chmod(0o755)
    return clone


def run(clone: Path, *command: str) -> str:
    """What a command prints that is run in the clone, with none of our variables set."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("CLOUDSCALE_", "MAKE"))}
    clean["PATH"] = f"{clone.parent / 'tools'}:{clean['PATH']}"
    done = subprocess.run(command, cwd=clone, env=clean, capture_output=True, text=True, check=True, timeout=60)
    return done.stdout


def test_a_script_that_sets_up_a_cluster_is_used_only_where_it_is_named(clone: Path) -> None:
    run(clone, "kind/tools.sh")
    run(clone, "kind/check.sh")
    assert not (clone.parent / "used").exists()


def test_ci_uses_the_one_beside_the_clone(clone: Path) -> None:
    make = clone.parent / "tools" / "make"
    make.write_text("#!/bin/sh\n")
    make.chmod(0o755)
    run(clone, ".ci/run", "cluster")
    assert (clone.parent / "used").exists()


def test_make_knows_no_file_of_purchases_by_itself(clone: Path) -> None:
    printed = run(clone, "make", "--eval", "show: ; @echo purchases=$(PURCHASES)", "show")
    assert printed == "purchases=\n"
