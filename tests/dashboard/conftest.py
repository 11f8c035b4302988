from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from tests.browser.traffic import flow, poison
from tests.dashboard.tokens import OWNER, TOKENS
from tests.dashboard.visitor import Visitor
from tests.servers.dashboard import DashboardServer, dashboard_server
from tests.servers.pipeline import RunningPipeline, running_pipeline
from tests.servers.scripted_provider import ScriptedProvider, scripted_provider
from tests.waiting import wait_until_sync

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningPipeline]:
    """A pipeline that some shops have sent events to."""
    with running_pipeline(tmp_path_factory.mktemp("shops")) as running:
        asyncio.run(flow(running.url, events_per_second=400, seconds=3))
        yield running


@pytest.fixture(scope="session")
def dashboard(running: RunningPipeline, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DashboardServer]:
    """A dashboard with one token for each kind of viewer."""
    directory = tmp_path_factory.mktemp("dashboard")
    with dashboard_server(directory, running.instance.settings, tokens=TOKENS) as dashboard:
        wait_until_sync(
            lambda: dashboard.call("/api/history", token=OWNER).json["now"]["point"].get("workers") == 1,
            within=timedelta(seconds=30),
        )
        yield dashboard


@pytest.fixture(scope="session")
def open_dashboard(running: RunningPipeline, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DashboardServer]:
    """A dashboard without tokens."""
    with dashboard_server(tmp_path_factory.mktemp("open"), running.instance.settings) as dashboard:
        yield dashboard


@pytest.fixture
def poisoned(running: RunningPipeline, dashboard: DashboardServer) -> list[int]:
    """Sequence numbers of all dead letters, at least one of ``contoso`` and one of ``fabrikam``."""

    def letters() -> dict[int, str]:
        shown = dashboard.call("/api/dead-letters", token=OWNER).json["deadLetters"]
        return {letter["sequenceNumber"]: letter["tenantId"] for letter in shown}

    def are_enough() -> bool:
        return {"contoso", "fabrikam"} <= set(letters().values())

    if not are_enough():
        before = len(letters())
        asyncio.run(poison(running, tenants=("contoso", "fabrikam")))
        wait_until_sync(lambda: len(letters()) == before + 2, within=timedelta(seconds=30))
    return list(letters())


@pytest.fixture(scope="module")
def started_provider() -> Iterator[ScriptedProvider]:
    with scripted_provider() as provider:
        yield provider


@pytest.fixture
def provider(started_provider: ScriptedProvider) -> ScriptedProvider:
    """The provider that a file's dashboard knows, doing everything right until the test says otherwise."""
    started_provider.mend()
    return started_provider


@pytest.fixture
def visitor(dashboard: DashboardServer) -> Visitor:
    """Somebody who has not signed in yet."""
    return Visitor(dashboard.url)
