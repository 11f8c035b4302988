"""Addresses that lead nowhere: the dashboard says what is wrong with them and goes on working."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect
from tests.absent_tools import absent
from tests.browser.chromium import PROGRAM, chromium, watched_page
from tests.servers.dashboard import DashboardServer, dashboard_server, lone_settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.skipif(PROGRAM is None, reason=absent("chromium"))


@pytest.fixture(scope="module")
def dashboard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DashboardServer]:
    """A dashboard that anybody may read."""
    directory = tmp_path_factory.mktemp("alone")
    with lone_settings(directory) as settings, dashboard_server(directory / "dashboard", settings) as dashboard:
        yield dashboard


@pytest.fixture(scope="module")
def browser(dashboard: DashboardServer) -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def page(browser: Browser, dashboard: DashboardServer) -> Iterator[Page]:
    """A page on the overview. It fails the test if a script fails."""
    with watched_page(browser) as page:
        page.goto(dashboard.url)
        expect(page.get_by_role("heading", name="Overview")).to_be_visible()
        yield page


@pytest.mark.parametrize(
    "address",
    ["events/%E0%A4%A", "%E0%A4%A", "pipeline/%", "events?user=%", "users?tenant=%zz", "refused?client=%E0%A4%A"],
)
def test_an_address_with_a_broken_percent_sign_is_said_to_be_unreadable(
    page: Page, dashboard: DashboardServer, address: str
) -> None:
    page.goto(f"{dashboard.url}/#/{address}")

    expect(page.get_by_role("alert")).to_contain_text("This address cannot be read")
    expect(page.locator("nav a[aria-current]")).to_have_count(0)
    page.reload()
    expect(page.get_by_role("alert")).to_contain_text("This address cannot be read")
    page.get_by_role("link", name="Refused").click()
    expect(page.get_by_role("heading", name="0 refused")).to_be_visible()


@pytest.mark.parametrize("address", ["nonsense", "constructor", "users/ada", "events/contoso", "events/a/b/c"])
def test_a_page_that_does_not_exist_is_said_not_to(page: Page, dashboard: DashboardServer, address: str) -> None:
    page.goto(f"{dashboard.url}/#/{address}")

    expect(page.get_by_role("heading", name="No such page")).to_be_visible()
    expect(page.get_by_role("alert")).to_contain_text(f"There is no page {address}.")
    page.get_by_role("link", name="Go to the overview").click()
    expect(page.get_by_role("heading", name="Overview")).to_be_visible()


def test_skipping_to_the_content_stays_on_the_page(page: Page, dashboard: DashboardServer) -> None:
    page.goto(f"{dashboard.url}/#/refused")
    expect(page.get_by_role("heading", name="0 refused")).to_be_visible()

    page.get_by_role("link", name="Skip to content").focus()
    page.keyboard.press("Enter")

    expect(page.locator("main")).to_be_focused()
    expect(page.get_by_role("heading", name="0 refused")).to_be_visible()
    assert page.url.endswith("#/refused")
