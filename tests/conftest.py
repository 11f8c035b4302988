"""What all tests have in common: their order, that no process gives way to the others, and patience.

The files that take longest come first, so that no process ends alone with one of them.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings
from tests.absent_tools import left_out
from tests.servers.redis import RedisServer, redis_server

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

# With more processes than processors an example may take long to draw or to run.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")

HERE = Path(__file__).parent
LONGEST_FIRST = (
    "integration/test_faults.py",
    "worker/test_faults.py",
    "integration/test_run.py",
    "emulators/servicebus/test_durability.py",
    "commands",
    "dashboard/test_application.py",
    "queue/test_dead_letters.py",
    "worker/test_processing.py",
    "operator/test_reconcile.py",
    "operator/test_deletion.py",
    "test_readme.py",
    "browser",
    "ingestion/test_retries.py",
    "telemetry/test_tracing.py",
    "emulators/servicebus/test_messages.py",
    "emulators/servicebus/test_sessions.py",
    "ledger/test_verification.py",
    "integration",
    "ingestion/test_openapi.py",
    "worker",
    "queue",
    "ingestion",
    "dashboard",
    "emulators",
)

# Tests run side by side: a pipeline's workers would wait not only for its requests, but for all other tests.
os.environ["CLOUDSCALE_NICENESS"] = "0"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sort by :data:`LONGEST_FIRST`; the files that it does not name keep their order behind the others."""
    items.sort(key=lambda item: _rank(item.path))


def _rank(file: Path) -> int:
    places = {file, *file.parents}
    return next((rank for rank, name in enumerate(LONGEST_FIRST) if HERE / name in places), len(LONGEST_FIRST))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> Generator[None, None, None]:
    """Say in a sentence what was left out because a program is missing, and what brings it."""
    yield
    skipped = [report.longrepr for report in terminalreporter.getreports("skipped")]
    if sentence := left_out(str(each[2]) for each in skipped if isinstance(each, tuple)):
        terminalreporter.section("what this run left out")
        terminalreporter.write_line(sentence)


@pytest.fixture(scope="module")
def cache_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A Redis of a file's own: its tests may kill it, start it again and delete everything in it."""
    with redis_server(tmp_path_factory.mktemp("redis")) as server:
        yield server
