"""Which test files one process runs, and which come first.

Files that share a server which takes long to start are one unit: several processes would each start one. Units that
take longest come first, so that no process of a run ends alone with one of them.

Each run measures the files that it runs, and the next one in this checkout goes by that. ``durations.json`` is what a
checkout starts with: a copy of what a whole run has measured, which lies in ``.pytest_cache/v/cloudscale/durations``.
"""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from xdist.scheduler import LoadFileScheduling  # type: ignore[import-untyped]

if TYPE_CHECKING:
    from xdist.remote import Producer  # type: ignore[import-untyped]

MEASURED = "cloudscale/durations"
START = Path(__file__).with_name("durations.json")
UNKNOWN_SECONDS = 1.0

TOGETHER = {
    "tests/dashboard/test_application.py": "the dashboard beside a pipeline",
    "tests/dashboard/test_isolation.py": "the dashboard beside a pipeline",
    "tests/ingestion/test_bad_requests.py": "an ingestion without limits",
    "tests/ingestion/test_docs_page.py": "an ingestion without limits",
    "tests/ingestion/test_intake.py": "an ingestion without limits",
    "tests/ingestion/test_log.py": "an ingestion without limits",
    "tests/ingestion/test_openapi.py": "an ingestion without limits",
    "tests/emulators/cosmos/test_administration.py": "an emulator with ranges",
    "tests/emulators/cosmos/test_change_feed.py": "an emulator with ranges",
    "tests/emulators/cosmos/test_queries.py": "an emulator with ranges",
    "tests/emulators/cosmos/test_sessions.py": "an emulator with ranges",
}
"""What files share, by file."""


class Stopwatch:
    """Adds up what the tests of each file take, their fixtures included."""

    def __init__(self) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take what one part of one test took."""
        self.seconds[report.nodeid.partition("::")[0]] += report.duration

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Keep it for the next run, beside what other files took before."""
        rounded = {file: round(seconds, 1) for file, seconds in self.seconds.items()}
        session.config.cache.set(MEASURED, durations(session.config) | rounded)


class Together(LoadFileScheduling):  # type: ignore[misc] # it has no types
    """Gives a process all files that share something, or one other file."""

    def _split_scope(self, nodeid: str) -> str:
        return unit_of(nodeid)


def unit_of(nodeid: str) -> str:
    """What a process runs as a whole: the name of what files share, or the file."""
    file = nodeid.partition("::")[0]
    return TOGETHER.get(file, file)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Together | None:
    """Distribute by unit where files are to be distributed."""
    return Together(config, log) if config.getvalue("dist") == "loadfile" else None


def durations(config: pytest.Config) -> dict[str, float]:
    """Seconds by file: as measured here, or else as the checkout has them."""
    start: dict[str, float] = json.loads(START.read_text()) if START.exists() else {}
    measured: dict[str, float] = config.cache.get(MEASURED, {})
    return start | measured


def pytest_configure(config: pytest.Config) -> None:
    """Measure, in the process that hears of all tests."""
    if not hasattr(config, "workerinput") and config.pluginmanager.hasplugin("cacheprovider"):
        config.pluginmanager.register(Stopwatch(), "stopwatch")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Sort the units, the longest first; the tests of one file keep their order."""
    if not config.pluginmanager.hasplugin("cacheprovider"):
        return
    seconds = durations(config)
    by_unit: defaultdict[str, float] = defaultdict(float)
    # In one order, because each process adds up by itself and all have to come to the same one.
    for file in sorted({item.nodeid.partition("::")[0] for item in items}):
        by_unit[unit_of(file)] += seconds.get(file, UNKNOWN_SECONDS)
    items.sort(key=lambda item: (-by_unit[unit_of(item.nodeid)], unit_of(item.nodeid), item.nodeid.partition("::")[0]))
