"""The pages Access and Devices with 150 tenants, of which one has 10,000 keys and 10,000 devices."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

import msgspec
import pytest
from playwright.sync_api import expect
from tests.absent_tools import absent
from tests.browser.chromium import DESKTOP, PHONE, PROGRAM, chromium, show, sign_in, watched_page
from tests.emulators.cosmos.stores import open_catalogue
from tests.servers import office as offices
from tests.servers.office import MANAGER

from cloudscale.access.container import document_of
from cloudscale.access.new_keys import new_key
from cloudscale.access.records import Device, Tenant

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser, Page
    from tests.servers.office import Office

pytestmark = pytest.mark.skipif(PROGRAM is None, reason=absent("chromium"))

RECORDS = 10_000
RECORDS_A_WRITE = 1000
CONTAINER = "Events-access"


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    """A dashboard whose directory has a tenant crowd with that many keys and devices."""
    with offices.office(tmp_path_factory.mktemp("office")) as office:
        # Put into the store's file while the store is away: through its door, most of the time would go to the client.
        office.cosmos.kill()
        asyncio.run(fill(office.cosmos.directory))
        office.cosmos.start()
        yield office


async def fill(directory: Path) -> None:
    now = datetime.now(UTC)
    async with open_catalogue(directory) as (storage, catalogue):
        [documents] = [each for each in catalogue.all_containers() if each.container.id == CONTAINER]

        def write(part: range) -> None:
            for number in part:
                device = Device(id=f"till-{number:05}", tenant_id="crowd", created_at=now, type="till")
                for record in (new_key("crowd", f"key {number}").record, device):
                    documents.create(msgspec.json.encode(document_of(record)), None)

        def write_tenants() -> None:
            for name in ["crowd", *(f"other-{number:03}" for number in range(149))]:
                documents.create(msgspec.json.encode(document_of(Tenant(id=name, created_at=now))), None)

        await storage.write(write_tenants)
        for start in range(0, RECORDS, RECORDS_A_WRITE):
            await storage.write(partial(write, range(start, start + RECORDS_A_WRITE)))


# After the dashboard: Playwright keeps an event loop running, beside which none can be run.
@pytest.fixture(scope="module")
def browser(office: Office) -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture(params=[DESKTOP, PHONE], ids=["desktop", "phone"])
def page(browser: Browser, office: Office, request: pytest.FixtureRequest) -> Iterator[Page]:
    """The page of somebody who administers all tenants. At its end it fits its screen."""
    with watched_page(browser, size=request.param) as page:
        sign_in(page, office.dashboard.url, MANAGER)
        yield page
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def test_keys_are_turned_over_page_by_page(page: Page, office: Office) -> None:
    show(page, office.dashboard.url, "access?tenant=crowd")
    rows = page.get_by_role("table", name="Keys").locator("tbody tr")
    expect(rows).to_have_count(100)
    first = rows.first.inner_text()

    page.get_by_role("link", name="More keys").click()

    expect(page.get_by_role("link", name="First keys")).to_be_visible()
    expect(rows).to_have_count(100)
    assert rows.first.inner_text() != first
    page.get_by_role("button", name="Create key").click()
    page.get_by_label("Name: what it is for").fill("one more")
    page.get_by_role("button", name="Create", exact=True).click()
    expect(page.get_by_role("dialog", name="New key")).to_be_visible()


def test_a_tenant_that_is_chosen_is_shown_among_many_and_its_keys_are_in_reach(page: Page, office: Office) -> None:
    show(page, office.dashboard.url, "access?tenant=other-148")

    tenants = page.get_by_role("region", name="Tenants")
    expect(tenants.get_by_role("link", name="other-148")).to_have_attribute("aria-current", "true")
    expect(tenants.locator("tbody tr")).to_have_count(101)
    keys = page.get_by_role("heading", name="Keys of other-148").bounding_box()
    assert keys is not None
    assert keys["y"] < PHONE[1]


def test_a_device_among_many_is_found(page: Page, office: Office) -> None:
    show(page, office.dashboard.url, "devices?tenant=crowd")
    rows = page.get_by_role("table", name="Devices").locator("tbody tr")
    expect(rows).to_have_count(50)
    page.get_by_role("link", name="Next").click()
    expect(rows.first).to_contain_text("till-00050")

    show(page, office.dashboard.url, "devices?tenant=crowd&id=till-09999")
    expect(rows).to_have_count(1)
    expect(rows.first).to_contain_text("till-09999")
