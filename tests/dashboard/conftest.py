from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from azure.servicebus import ServiceBusMessage
from tests.browser.traffic import flow
from tests.dashboard.tokens import TOKENS
from tests.servers.dashboard import DashboardServer, dashboard_server
from tests.servers.pipeline import RunningPipeline, running_pipeline
from tests.waiting import wait_until_sync

from cloudscale.queue.connection import open_client

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
            lambda: dashboard.call("/api/history", token=TOKENS[0]["token"]).json["now"]["point"].get("workers") == 1,
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
    """Dead letters of two tenants: the sequence numbers of those that are there now."""
    owner = TOKENS[0]["token"]

    def numbers() -> list[int]:
        letters = dashboard.call("/api/dead-letters", token=owner).json["deadLetters"]
        return [letter["sequenceNumber"] for letter in letters]

    before = len(numbers())
    asyncio.run(_poison(running))
    wait_until_sync(lambda: len(numbers()) == before + 2, within=timedelta(seconds=30))
    return numbers()


async def _poison(running: RunningPipeline) -> None:
    instance = running.instance
    queue = instance.pipeline.spec.queue
    bodies = [b'[{"eventType":"unheard_of","tenantId":"%s"}]' % tenant for tenant in (b"contoso", b"fabrikam")]
    async with open_client(queue, instance.settings) as client, client.get_queue_sender(queue.name) as sender:
        await sender.send_messages([ServiceBusMessage(body) for body in bodies])
