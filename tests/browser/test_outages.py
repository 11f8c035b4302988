"""Every page while a backend is away: it says so, at once, and shows again what there is when the backend is back."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect
from tests.absent_tools import absent
from tests.browser.chromium import DESKTOP, PHONE, PROGRAM, chromium, show, watched_page
from tests.browser.place import Backends, Place, backends
from tests.servers.dashboard import dashboard_server

from cloudscale.store.events import EventStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from playwright.sync_api import Browser
    from tests.servers.process import ServerProcess

pytestmark = [
    pytest.mark.skipif(PROGRAM is None, reason=absent("chromium")),
    pytest.mark.fault,
]

NEEDS = {
    "store": ["security", "users", "devices", "events"],
    "broker": ["dead-letters"],
    "redis": ["verification", "refused", "pipeline"],
}
BACKENDS: dict[str, Callable[[Backends], ServerProcess]] = {
    "store": lambda opened: opened.store,
    "broker": lambda opened: opened.broker,
    "redis": lambda opened: opened.redis,
}
SAYS = {"store": "store", "broker": "broker", "redis": "Redis"}
PATIENCE_MILLISECONDS = 60_000
SIZES = {"desktop": DESKTOP, "phone": PHONE}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """Anybody may read the dashboard."""
    directory = tmp_path_factory.mktemp("outages")
    with backends(directory) as opened:
        asyncio.run(create_containers(opened))
        with dashboard_server(directory / "dashboard", opened.settings) as dashboard:
            yield Place(dashboard, opened)


async def create_containers(opened: Backends) -> None:
    async with EventStore(opened.resource.spec.store, opened.settings) as store:
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
    with watched_page(browser, size=SIZES[size]) as page:
        page.goto(place.dashboard.url)
        backend = BACKENDS[name](place.backends)
        backend.kill()
        try:
            for each in NEEDS[name]:
                show(page, place.dashboard.url, each)
                expect(page.get_by_role("alert")).to_contain_text(SAYS[name], timeout=PATIENCE_MILLISECONDS)
                assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), each
        finally:
            backend.start()
        for each in NEEDS[name]:
            show(page, place.dashboard.url, each)
            expect(page.get_by_role("alert")).to_have_count(0, timeout=PATIENCE_MILLISECONDS)
