"""The page Refused in a real browser: what is chosen stands in the address, samples are text, tenants are apart."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect
from redis.asyncio import Redis
from tests.absent_tools import absent
from tests.browser.chromium import DESKTOP, PHONE, PROGRAM, chromium, open_context, show, sign_in, watched_page
from tests.dashboard.tokens import CONTOSO, READER, TOKENS
from tests.servers.dashboard import DashboardServer, dashboard_server, lone_settings

from cloudscale.cache.keys import Keys
from cloudscale.telemetry.refusals import Group, RefusalStore, Sample

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.skipif(PROGRAM is None, reason=absent("chromium"))

MARKUP = '{"url":"<img src=x onerror=document.title=1>"}'


@pytest.fixture(scope="module")
def dashboard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DashboardServer]:
    """A dashboard whose Redis knows refusals of two tenants."""
    directory = tmp_path_factory.mktemp("alone")
    with lone_settings(directory) as settings:
        asyncio.run(fill(settings.redis_url))
        with dashboard_server(directory / "dashboard", settings, tokens=TOKENS) as dashboard:
            yield dashboard


async def fill(url: str) -> None:
    async with Redis.from_url(url) as redis:
        store = RefusalStore(redis, key_prefix=Keys(namespace="default", name="alone").refused)
        sample = Sample(time.time(), "1 wrong: /url: expected a string", "c-17", MARKUP)
        await store.add(
            [
                (Group(400, "validation", "contoso", "10.0.0.1", "/url"), 1234, sample),
                (Group(422, "conflict", "fabrikam", "10.0.0.2"), 3, sample),
                (Group(429, "limit-client", "", "10.0.0.3"), 50, None),
            ]
        )


# After the dashboard: Playwright keeps an event loop running, beside which none can be run.
@pytest.fixture(scope="module")
def browser(dashboard: DashboardServer) -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture(params=[DESKTOP, PHONE], ids=["desktop", "phone"])
def page(browser: Browser, dashboard: DashboardServer, request: pytest.FixtureRequest) -> Iterator[Page]:
    with watched_page(browser, size=request.param) as page:
        sign_in(page, dashboard.url, READER)
        show(page, dashboard.url, "refused")
        yield page
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def test_what_is_chosen_stands_in_the_address_and_narrows_the_list_down(page: Page) -> None:
    expect(page.get_by_role("heading", name="1,287 refused")).to_be_visible()

    page.get_by_role("region", name="By reason").get_by_role("link", name="Validation").click()

    expect(page.get_by_role("heading", name="1,234 refused")).to_be_visible()
    assert page.url.endswith("#/refused?reason=validation")
    page.reload()
    expect(page.get_by_role("heading", name="1,234 refused")).to_be_visible()
    page.get_by_role("link", name="Reason: Validation").click()
    expect(page.get_by_role("heading", name="1,287 refused")).to_be_visible()


def test_a_sample_is_text_whatever_it_holds(page: Page) -> None:
    page.get_by_role("region", name="Refused").get_by_role("button", name="Validation").click()

    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("expected a string")
    expect(dialog).to_contain_text("c-17")
    expect(dialog.locator("pre")).to_have_text(MARKUP)
    expect(dialog.locator("img")).to_have_count(0)


def test_a_tenant_s_viewer_sees_what_was_refused_of_his_own(browser: Browser, dashboard: DashboardServer) -> None:
    with open_context(browser) as context:
        page = context.new_page()
        sign_in(page, dashboard.url, CONTOSO)
        show(page, dashboard.url, "refused")

        expect(page.get_by_role("heading", name="1,234 refused")).to_be_visible()
        expect(page.locator("main")).not_to_contain_text("fabrikam")
        expect(page.locator("main")).not_to_contain_text("10.0.0.3")
