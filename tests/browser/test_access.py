"""The page Access in a real browser: tenants and keys are made and ended, and a new key is shown once."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect
from tests.absent_tools import absent
from tests.browser.chromium import DESKTOP, PHONE, PROGRAM, chromium, open_context, show, sign_in, watched_page
from tests.browser.test_pages import violations
from tests.servers import office as offices
from tests.servers.office import ACME_MANAGER, MANAGER, OPERATOR

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Page
    from tests.servers.office import Office

pytestmark = pytest.mark.skipif(PROGRAM is None, reason=absent("chromium"))


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    """A dashboard whose directory has three tenants."""
    with offices.office(tmp_path_factory.mktemp("office")) as office:
        yield office


# After the dashboard: Playwright keeps an event loop running, beside which none can be run.
@pytest.fixture(scope="module")
def browser(office: Office) -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture(params=[DESKTOP, PHONE], ids=["desktop", "phone"])
def page(browser: Browser, office: Office, request: pytest.FixtureRequest) -> Iterator[Page]:
    """The page with the keys of acme, of somebody who administers all tenants. At its end it fits its screen."""
    with watched_page(browser, size=request.param) as page:
        sign_in(page, office.dashboard.url, MANAGER)
        show(page, office.dashboard.url, "access?tenant=acme")
        yield page
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def create_key(page: Page, name: str) -> str:
    """The text of a new key, which is shown once."""
    page.get_by_role("button", name="Create key").click()
    page.get_by_label("Name: what it is for").fill(name)
    page.get_by_role("button", name="Create", exact=True).click()
    shown = page.get_by_role("dialog", name="New key").get_by_role("textbox")
    expect(shown).to_have_value(re.compile("^cs_"))
    return shown.input_value()


def close(page: Page) -> None:
    page.get_by_role("dialog").get_by_role("button", name="Close").click()


def test_the_page_and_its_dialogs_are_accessible(page: Page) -> None:
    assert violations(page) == []
    page.get_by_role("button", name="Create key").click()
    assert violations(page) == []
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Create tenant").click()
    assert violations(page) == []


def test_a_new_key_is_shown_once_and_works(page: Page, office: Office) -> None:
    name = f"till {page.viewport_size and page.viewport_size['width']}"
    text = create_key(page, name)
    assert violations(page) == []
    page.get_by_role("button", name="Copy").click()
    expect(page.get_by_role("dialog")).to_contain_text("It is not shown again.")
    close(page)

    expect(page.get_by_role("region", name="Keys").get_by_role("button", name=name)).to_be_visible()
    assert text not in page.content()
    assert not page.evaluate("text => [...document.querySelectorAll('input')].some(i => i.value === text)", text)
    page.reload()
    expect(page.get_by_role("region", name="Keys").get_by_role("button", name=name)).to_be_visible()
    assert text.rpartition("_")[2] not in page.content()
    # It may send, and so may not read.
    assert office.dashboard.call("/api/v1/events", token=text).status == 403


def test_a_key_is_rotated_and_revoked_after_a_question(page: Page) -> None:
    width = page.viewport_size and page.viewport_size["width"]
    name = f"app {width}"
    create_key(page, name)
    close(page)
    keys = page.get_by_role("region", name="Keys")
    keys.get_by_role("button", name=name).click()
    page.get_by_role("button", name="Rotate").click()
    page.get_by_label("Overlap in hours").fill("2")
    page.get_by_role("button", name="Rotate", exact=True).click()
    expect(page.get_by_role("dialog", name="New key")).to_be_visible()
    close(page)
    expect(keys.get_by_role("row").filter(has_text=name)).to_have_count(2)
    old = keys.get_by_role("row").filter(has_text=name).filter(has_text="Ends")
    expect(old).to_have_count(1)

    old.get_by_role("button", name=name).click()
    page.get_by_role("dialog").get_by_role("button", name="Revoke").click()
    page.get_by_role("button", name="Cancel").click()
    expect(old).to_have_count(1)
    old.get_by_role("button", name=name).click()
    page.get_by_role("dialog").get_by_role("button", name="Revoke").click()
    page.get_by_role("dialog", name=re.compile("Revoke the key")).get_by_role("button", name="Revoke").click()

    expect(keys.get_by_role("row").filter(has_text=name).filter(has_text="Revoked")).to_have_count(1)


def test_a_key_s_name_and_limit_are_changed(page: Page) -> None:
    name = f"kiosk {page.viewport_size and page.viewport_size['width']}"
    create_key(page, name)
    close(page)
    keys = page.get_by_role("region", name="Keys")
    keys.get_by_role("button", name=name).click()
    expect(page.get_by_role("dialog")).to_contain_text("As every key")
    page.get_by_role("dialog").get_by_role("button", name="Change").click()
    assert violations(page) == []
    page.get_by_label("Name: what it is for").fill(f"{name} hall")
    page.get_by_label("Requests a second at the most").fill("5")
    page.get_by_role("button", name="Change", exact=True).click()

    keys.get_by_role("button", name=f"{name} hall").click()
    expect(page.get_by_role("dialog").get_by_role("definition").filter(has_text=re.compile("^5$"))).to_be_visible()
    page.keyboard.press("Escape")


def test_a_tenant_is_made_and_its_quota_changed_with_the_keyboard(page: Page) -> None:
    tenant = f"globex{page.viewport_size and page.viewport_size['width']}"
    page.get_by_role("button", name="Create tenant").focus()
    page.keyboard.press("Enter")
    page.keyboard.type(tenant)
    page.keyboard.press("Tab")
    page.keyboard.type("1000")
    page.keyboard.press("Enter")
    row = page.get_by_role("region", name="Tenants").get_by_role("row").filter(has_text=tenant)
    expect(row).to_contain_text("0 of 1,000")

    row.get_by_role("button", name=f"Change {tenant}").click()
    page.get_by_label("Events a second at the most").fill("50")
    page.get_by_label("Disabled").check()
    page.get_by_role("button", name="Change", exact=True).click()

    expect(row).to_contain_text("0 of 50")
    expect(row).to_contain_text("Disabled")
    row.get_by_role("link", name=tenant).click()
    expect(page.get_by_role("heading", name=f"Keys of {tenant}")).to_be_visible()


def test_what_the_server_refuses_is_said_in_the_form(page: Page) -> None:
    page.get_by_role("button", name="Create tenant").click()
    page.get_by_label("Id, as events name it").fill("acme")
    page.get_by_role("button", name="Create", exact=True).click()

    expect(page.get_by_role("dialog").get_by_role("alert")).to_contain_text("is there already")


def test_a_tenant_s_administrator_sees_its_own_keys_and_hands_out_less(browser: Browser, office: Office) -> None:
    with watched_page(browser) as page:
        sign_in(page, office.dashboard.url, ACME_MANAGER)
        show(page, office.dashboard.url, "access")

        expect(page.get_by_role("heading", name="Keys of acme")).to_be_visible()
        expect(page.locator("main")).not_to_contain_text("rival")
        expect(page.get_by_role("button", name="Create tenant")).to_have_count(0)
        expect(page.get_by_role("button", name="Change acme")).to_have_count(0)
        page.get_by_role("button", name="Create key").click()
        expect(page.get_by_label("Administer this tenant")).to_be_visible()
        expect(page.get_by_label("Administer all tenants")).to_have_count(0)


def test_who_does_not_administer_has_no_such_page(browser: Browser, office: Office) -> None:
    with open_context(browser) as context:
        page = context.new_page()
        sign_in(page, office.dashboard.url, OPERATOR)
        page.goto(f"{office.dashboard.url}/#/access")

        expect(page.get_by_role("heading", name="Overview")).to_be_visible()
        expect(page.locator("nav a[data-page=access]")).to_have_count(0)
