"""Every page while a backend is away: it says so, at once, and shows again what there is when the backend is back."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec
import pytest
from playwright.sync_api import expect
from tests.absent_tools import absent
from tests.browser.chromium import DESKTOP, PHONE, PROGRAM, chromium, open_context, show
from tests.servers.cosmos import CosmosServer, cosmos_server
from tests.servers.dashboard import DashboardServer, dashboard_server
from tests.servers.redis import RedisServer, redis_server
from tests.servers.servicebus import ServiceBusServer, servicebus_server

from cloudscale.pipeline import Queue, load_file
from cloudscale.settings import Settings
from cloudscale.store.events import EventStore

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser

pytestmark = [
    pytest.mark.skipif(PROGRAM is None, reason=absent("chromium")),
    pytest.mark.fault,
]

NEEDS = {
    "store": ["security", "users", "events"],
    "broker": ["dead-letters"],
    "redis": ["verification", "refused", "pipeline"],
}
SAYS = {"store": "store", "broker": "broker", "redis": "Redis"}
PATIENCE_MILLISECONDS = 60_000
SIZES = {"desktop": DESKTOP, "phone": PHONE}


@dataclass(frozen=True)
class Place:
    """A dashboard that anybody may read, and its backends."""

    dashboard: DashboardServer
    backends: dict[str, CosmosServer | ServiceBusServer | RedisServer]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    directory = tmp_path_factory.mktemp("outages")
    document = {"apiVersion": "cloudscale.io/v1alpha1", "kind": "EventPipeline", "metadata": {"name": "shops"}}
    (directory / "pipeline.json").write_bytes(msgspec.json.encode(document))
    with (
        redis_server(directory / "redis") as redis,
        cosmos_server(directory / "store") as store,
        servicebus_server(directory / "broker", queues=[Queue().name]) as broker,
    ):
        settings = Settings(
            pipeline_file=str(directory / "pipeline.json"),
            redis_url=redis.url,
            cosmos_connection_string=store.connection_string,
            servicebus_connection_string=broker.connection_string,
            servicebus_management_url=broker.management_url,
        )
        asyncio.run(create_containers(settings))
        with dashboard_server(directory / "dashboard", settings) as dashboard:
            yield Place(dashboard, {"redis": redis, "store": store, "broker": broker})


async def create_containers(settings: Settings) -> None:
    async with EventStore(load_file(settings.pipeline_file).spec.store, settings) as store:
        await store.ensure()


# After the servers: Playwright keeps an event loop running, beside which none can be run.
@pytest.fixture(scope="module")
def browser(place: Place) -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", NEEDS)
def test_pages_say_which_backend_is_away_and_come_back_with_it(
    browser: Browser, place: Place, name: str, size: str
) -> None:
    with open_context(browser, size=SIZES[size]) as context:
        page = context.new_page()
        page.goto(place.dashboard.url)
        place.backends[name].kill()
        try:
            for each in NEEDS[name]:
                show(page, place.dashboard.url, each)
                expect(page.get_by_role("alert")).to_contain_text(SAYS[name], timeout=PATIENCE_MILLISECONDS)
                assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), each
        finally:
            place.backends[name].start()
        for each in NEEDS[name]:
            show(page, place.dashboard.url, each)
            expect(page.get_by_role("alert")).to_have_count(0, timeout=PATIENCE_MILLISECONDS)
