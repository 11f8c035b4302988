"""The workflows of ``.github``: what they call is there, and does all that CI does. ``make lint`` checks their form."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / ".github" / "workflows"
WORKFLOWS = sorted(FOLDER.glob("*.yaml"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
RELEASE_COMMANDS = {"check", "notes", "prepare"}

Workflow = dict[str, Any]


def read(path: Path) -> Workflow:
    """A workflow; its trigger is under ``True``, which is what YAML makes of ``on``."""
    workflow: Workflow = yaml.safe_load(path.read_text())
    return workflow


def steps(path: Path) -> list[dict[str, Any]]:
    """Every step of every job."""
    return [step for job in read(path)["jobs"].values() for step in job.get("steps", [])]


def commands(path: Path) -> str:
    """All that a workflow runs."""
    return "\n".join(step["run"] for step in steps(path) if "run" in step)


def parts_of_ci() -> set[str]:
    """The parts that ``.ci/run`` has."""
    (parts,) = re.findall(r"^all_parts=\((.+)\)$", (ROOT / ".ci/run").read_text(), re.MULTILINE)
    return set(parts.split())


def test_the_checks_are_the_parts_of_what_ci_runs_and_leave_none_out() -> None:
    called = set(" ".join(re.findall(r"\.ci/run ([a-z ]+)", commands(FOLDER / "checks.yaml"))).split())
    assert called == parts_of_ci()


def test_the_tests_run_on_each_python_that_is_supported() -> None:
    supported = [each.rpartition(" ")[2] for each in PROJECT["classifiers"] if re.search(r":: Python :: 3\.\d+$", each)]
    tested = read(FOLDER / "checks.yaml")["jobs"]["tests"]["strategy"]["matrix"]["python"]
    assert tested == supported == ["3.11", "3.12", "3.13", "3.14"]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_what_a_workflow_calls_is_there(path: Path) -> None:
    text = commands(path)
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"\bmake ([a-z-]+)", text):
        assert re.search(rf"^{target}:.*##", makefile, re.MULTILINE), target
    assert set(re.findall(r"python3 -m release (\w+)", text)) <= RELEASE_COMMANDS
    for script in re.findall(r"\brelease/[\w-]+\.sh", text):
        assert (ROOT / script).stat().st_mode & 0o111, script


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_an_action_is_pinned_to_a_commit_and_says_its_version(path: Path) -> None:
    used = re.findall(r"^ *(?:- )?uses: (.+)$", path.read_text(), re.MULTILINE)
    assert used
    for action in used:
        assert action.startswith("./") or re.fullmatch(r"[\w.-]+/[\w.-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", action), action


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_has_no_rights_and_each_job_those_that_it_needs(path: Path) -> None:
    workflow = read(path)
    assert workflow["permissions"] == {}
    for name, job in workflow["jobs"].items():
        assert job["permissions"], name
        assert "uses" in job or 0 < job["timeout-minutes"] <= 90, name


def test_nothing_is_published_before_the_checks_and_the_tag() -> None:
    jobs = read(FOLDER / "release.yaml")["jobs"]

    def before(name: str) -> set[str]:
        needed = jobs[name].get("needs", [])
        direct = {needed} if isinstance(needed, str) else set(needed)
        return direct.union(*map(before, direct)) if direct else direct

    publishing = {
        name
        for name, job in jobs.items()
        if {"id-token", "packages"} & set(job["permissions"]) or job["permissions"].get("contents") == "write"
    }
    assert publishing == {"index", "registry", "notes"}
    for name in publishing:
        assert {"tag", "checks"} <= before(name), name


def test_the_locks_are_renewed_with_the_newest_versions() -> None:
    told = subprocess.run(
        ["make", "--dry-run", "lock", "UPGRADE=1"], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
    ).stdout
    assert told.count("--upgrade") == 3
    assert "make lock UPGRADE=1" in commands(FOLDER / "dependencies.yaml")


def test_the_fast_checks_before_a_commit_are_those_of_make_lint() -> None:
    (hooks,) = (each["hooks"] for each in yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"])
    makefile = (ROOT / "Makefile").read_text()
    for hook in hooks:
        program, *arguments = hook["entry"].split()
        if program == "make":
            assert f"\n{arguments[0]}:" in makefile
        elif Path(program).name == "pytest":
            assert (ROOT / arguments[-1]).exists()
        else:
            line = " ".join([Path(program).name, *(each for each in arguments if not each.startswith("-"))])
            assert f"$(BIN)/{line}" in makefile, line
