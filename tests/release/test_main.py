"""The commands of ``python -m release``, on a copy of what they read and write."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from release.__main__ import main

from release import changelog, version

ROOT = Path(__file__).parents[2]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of every file that a release changes."""
    for file in {changelog.FILE, version.SOURCE, *(each.file for each in version.REPETITIONS)}:
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / file, tmp_path / file)
    return tmp_path


def test_what_was_prepared_passes_the_check_of_its_tag(checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["prepare", "7.8.9"], root=checkout) == 0
    assert main(["check", "v7.8.9"], root=checkout) == 0
    assert main(["notes", "v7.8.9"], root=checkout) == 0
    assert capsys.readouterr().out.startswith("### ")


def test_every_fault_of_a_tag_is_named(checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own = version.current(checkout)
    chart = checkout / "charts/cloudscale-backends/Chart.yaml"
    chart.write_text(chart.read_text().replace(f"appVersion: {own}", "appVersion: 0.0.1"))
    assert main(["check", "v7.8.9"], root=checkout) == 1
    source = "apps/cloudscale/__init__.py"
    assert capsys.readouterr().err.splitlines() == [
        f"error: the tag v7.8.9 names version 7.8.9, and {source} says {own}",
        f"error: {chart.relative_to(checkout)} says 0.0.1 where {source} says {own}: run make version VERSION={own}",
        "error: CHANGELOG.md has no section 7.8.9: run make version VERSION=7.8.9",
    ]


def test_a_release_that_cannot_be_prepared_changes_nothing(checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = {path: path.read_text() for path in checkout.rglob("*.*") if path.is_file()}
    assert main(["prepare", "0.1.0"], root=checkout) == 1
    assert main(["prepare", "next"], root=checkout) == 1
    assert "has a section 0.1.0 already" in capsys.readouterr().err
    assert {path: path.read_text() for path in before} == before


def test_it_runs_without_any_installed_package() -> None:
    """A workflow checks a tag before it installs anything."""
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", "import sys; sys.path.insert(0, '.'); import release.__main__"],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
