"""What the end of a test run says about programs that are not there."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.absent_tools import absent, left_out, needs

ROOT = Path(__file__).parents[1]


def test_a_test_of_an_absent_program_is_left_out_and_says_what_brings_it() -> None:
    (mark,) = [needs("promtool").mark]
    assert mark.kwargs["reason"] == absent("promtool") == "promtool is not installed: apt-get install prometheus"


def test_a_sentence_counts_the_tests_by_program() -> None:
    reasons = [absent("promtool"), absent("helm"), absent("helm"), "cannot be a line of a batch"]
    assert left_out(reasons) == (
        "Left out: 3 tests, for want of a program: "
        "2 that need helm (https://helm.sh/docs/intro/install), 1 that need promtool (apt-get install prometheus)."
    )


def test_nothing_is_said_where_no_program_is_missing() -> None:
    assert left_out([]) == ""
    assert left_out(["mounting a small disk takes root"]) == ""


def test_the_end_of_a_run_says_what_was_left_out(tmp_path: Path) -> None:
    # A PATH on which nothing is.
    arguments = ["-p", "no:cacheprovider", "--numprocesses=1", "tests/test_charts.py"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *arguments],
        cwd=ROOT,
        env=os.environ | {"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    *_, sentence, _summary = done.stdout.splitlines()
    assert sentence.startswith("Left out: ")
    assert "that need helm (https://helm.sh/docs/intro/install)" in sentence
