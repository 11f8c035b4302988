"""Puts the test files that take longest first, so that no process of a run ends alone with one of them.

Each run measures the files that it runs, and the next one in this checkout goes by that. ``durations.json`` is what a
checkout starts with: a copy of what a whole run has measured, which lies in ``.pytest_cache/v/cloudscale/durations``.
"""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

MEASURED = "cloudscale/durations"
START = Path(__file__).with_name("durations.json")
UNKNOWN_SECONDS = 1.0


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
    """Sort the files, the longest first; the tests of one file keep their order."""
    if not config.pluginmanager.hasplugin("cacheprovider"):
        return
    seconds = durations(config)
    items.sort(key=lambda item: -seconds.get(item.nodeid.partition("::")[0], UNKNOWN_SECONDS))
