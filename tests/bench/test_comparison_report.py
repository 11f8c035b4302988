from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from bench.comparison_report import BEGIN, END, replaced, tables, write
from bench.report import README

if TYPE_CHECKING:
    from pathlib import Path


def figures(**changes: Any) -> dict[str, Any]:
    return {
        "offered": 60_000,
        "accepted": 60_000,
        "acceptedShare": 1.0,
        "acceptedPerSecond": 2999.6,
        "latencyMilliseconds": {"p50": 4.56, "p99": 21.04},
        "generatorCpuMicrosecondsPerRequest": 41.5,
        "othersCores": 0.05,
        "persisted": 60_000,
        "drainSeconds": 1.2,
        "cpuMicrosecondsPerEvent": {"ingestion": 80.0, "worker": 35.0, "total": 115.0},
        "peakMegabytes": {"ingestion": 100, "worker": 90},
    } | changes


RESULT = {
    "seconds": 20,
    "benthos": "v4.27.0",
    "loadAverageBefore": 0.25,
    "loads": [
        {
            "title": "3,000/s",
            "contenders": {
                "bare": figures(persisted=None, drainSeconds=None),
                "cloudscale": figures(),
                "benthos": figures(acceptedShare=0.5, accepted=30_000, persisted=29_000),
            },
            "ratios": {"benthos": {"acceptedPerSecond": 2.0, "p99": 0.5, "p50": None, "ingestionCpu": 0.4,
                                   "workerCpu": 1.5, "totalCpu": 0.75}},
        }
    ],
    "machine": {
        "cores": 2,
        "cpu": "some CPU",
        "memoryGigabytes": 23.5,
        "kernel": "6.1",
        "python": "3.11.7",
        "generator": "oha 1.16.0",
        "revision": "abc",
    },
}  # fmt: skip


def test_only_what_is_between_the_markers_is_replaced() -> None:
    text = f"before\n{BEGIN}\nold\n{END}\nafter\n"

    assert replaced(text, "new") == f"before\n{BEGIN}\n\nnew\n\n{END}\nafter\n"


@pytest.mark.parametrize("text", ["", BEGIN, END, f"{END}{BEGIN}"])
def test_a_text_without_both_markers_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="lacks"):
        replaced(text, "new")


def test_each_contender_has_a_row_of_what_was_seen() -> None:
    shown = tables(RESULT)

    assert "| 3,000/s | bare handler | 60,000 | 100.0% | 3,000 | 4.6 | 21.0 | - | - | 41.5 | 0.05 |" in shown
    assert "| 3,000/s | CloudScale | 60,000 | 100.0% | 3,000 | 4.6 | 21.0 | 60,000 | 1.2 | 41.5 | 0.05 |" in shown


def test_accepted_events_that_are_not_stored_are_shown() -> None:
    assert "| 29,000 of 30,000 |" in tables(RESULT)


def test_processes_that_a_contender_lacks_cost_nothing() -> None:
    assert "| 3,000/s | CloudScale | 80.0 | 35.0 | - | - | - | - | 115.0 | 190 |" in tables(RESULT)


def test_ratios_are_shown_beside_each_other() -> None:
    assert "| 3,000/s | CloudScale : Benthos | 2.00 | - | 0.50 | 0.40 | 1.50 | 0.75 |" in tables(RESULT)


def test_every_row_of_a_table_has_as_many_cells_as_its_head() -> None:
    for table in tables(RESULT).split("\n\n")[:-1]:
        counts = {line.count("|") for line in table.splitlines()}
        assert len(counts) == 1


def test_without_a_recorded_result_the_text_stays_as_it_is(tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text("as it is")

    write(tmp_path / "comparison.json", readme)

    assert readme.read_text() == "as it is"


def test_a_recorded_result_is_written_into_the_text(tmp_path: Path) -> None:
    readme, result = tmp_path / "README.md", tmp_path / "comparison.json"
    readme.write_text(f"{BEGIN}{END}")
    result.write_text(json.dumps(RESULT))

    write(result, readme)

    assert "with Benthos v4.27.0" in readme.read_text()


def test_the_readme_has_a_place_for_the_tables() -> None:
    assert "\n\nthe tables\n\n" in replaced(README.read_text(), "the tables")
