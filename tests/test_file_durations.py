"""How tests are distributed among the processes of a run."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.file_durations import TOGETHER, unit_of

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("file", TOGETHER)
def test_files_that_share_something_are_there(file: str) -> None:
    assert (ROOT / file).is_file()


def test_files_that_share_something_are_one_unit_and_others_are_their_own() -> None:
    first, second = "tests/dashboard/test_application.py::test_a[x::y]", "tests/dashboard/test_isolation.py::test_b"

    assert unit_of(first) == unit_of(second) == "the dashboard beside a pipeline"
    assert unit_of("tests/test_units.py::test_a[x::y]") == "tests/test_units.py"
