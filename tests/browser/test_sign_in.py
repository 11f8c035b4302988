"""Signing in with a provider that is not our own, in a real browser, from one site to the other and back."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect
from tests.absent_tools import absent
from tests.browser.chromium import DESKTOP, PHONE, PROGRAM, chromium, open_context
from tests.browser.test_pages import violations
from tests.dashboard.tokens import READER, TOKENS
from tests.servers.openid_provider import OpenIdProvider, openid_provider
from tests.servers.people_dashboard import people_dashboard

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Page
    from tests.servers.dashboard import DashboardServer

pytestmark = pytest.mark.skipif(PROGRAM is None, reason=absent("chromium"))

# It refuses offline_access, and gives refresh tokens without.
SCOPES = ["profile", "email"]

BOTH_SIZES = pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenIdProvider]:
    """A provider at ``localhost``, which is another site than the dashboard's ``127.0.0.1``."""
    with openid_provider(tmp_path_factory.mktemp("provider")) as provider:
        provider.set_claims("ann", {"preferred_username": "ann@example.com", "groups": ["operators"]})
        provider.set_claims("eve", {"preferred_username": "eve@example.com", "groups": []})
        yield provider


@pytest.fixture(scope="module")
def dashboard(provider: OpenIdProvider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DashboardServer]:
    directory = tmp_path_factory.mktemp("people")
    with people_dashboard(
        directory, provider.issuer, secret="any", name="Example", tokens=TOKENS, scopes=SCOPES
    ) as server:
        yield server


@pytest.fixture(scope="module")
def browser(dashboard: DashboardServer) -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def troubles() -> list[str]:
    return []


def opened(page: Page, troubles: list[str], address: str) -> None:
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.on("console", lambda line: troubles.append(line.text) if "Content Security Policy" in line.text else None)
    page.goto(address)


def sign_in_at_provider(page: Page, subject: str) -> None:
    page.get_by_role("link", name="Sign in with Example").click()
    page.get_by_placeholder("sub").fill(subject)
    page.get_by_role("button", name="Authorize").click()


@BOTH_SIZES
def test_a_person_signs_in_sees_who_they_are_and_signs_out(
    browser: Browser, dashboard: DashboardServer, provider: OpenIdProvider, troubles: list[str], size: tuple[int, int]
) -> None:
    with open_context(browser, size=size, dark=size == PHONE) as context:
        page = context.new_page()
        opened(page, troubles, f"{dashboard.url}/#/refused")
        expect(page.get_by_role("link", name="Sign in with Example")).to_be_visible()
        assert violations(page) == []

        sign_in_at_provider(page, "ann")

        expect(page.get_by_role("heading", name="0 refused")).to_be_visible()
        assert page.url == f"{dashboard.url}/#/refused"
        expect(page.get_by_text("ann@example.com")).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
        assert violations(page) == []
        (cookie,) = context.cookies(dashboard.url)
        assert (cookie["name"], cookie["httpOnly"], cookie["sameSite"]) == ("cloudscale-session", True, "Strict")

        page.get_by_role("button", name="Sign out").click()
        expect(page.get_by_role("heading", name="End Session")).to_be_visible()
        page.get_by_role("button", name="End session").first.click()

        expect(page.get_by_role("link", name="Sign in with Example")).to_be_visible()
        assert page.url == f"{dashboard.url}/sign-in"
        assert context.cookies(dashboard.url) == []
        page.goto(dashboard.url)
        expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    assert not troubles


@BOTH_SIZES
def test_who_has_no_role_is_told_so(
    browser: Browser, dashboard: DashboardServer, troubles: list[str], size: tuple[int, int]
) -> None:
    with open_context(browser, size=size) as context:
        page = context.new_page()
        opened(page, troubles, dashboard.url)

        sign_in_at_provider(page, "eve")

        expect(page.get_by_role("alert")).to_contain_text("You are eve@example.com at Example")
        assert violations(page) == []
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
        page.get_by_role("link", name="Start again").click()
        expect(page.get_by_role("link", name="Sign in with Example")).to_be_visible()
    assert not troubles


def test_who_changes_their_mind_at_the_provider_is_told_so(
    browser: Browser, dashboard: DashboardServer, troubles: list[str]
) -> None:
    with open_context(browser) as context:
        page = context.new_page()
        opened(page, troubles, dashboard.url)
        page.get_by_role("link", name="Sign in with Example").click()

        page.get_by_role("button", name="Deny").click()

        expect(page.get_by_role("alert")).to_be_visible()
        assert page.url.startswith(f"{dashboard.url}/sign-in/callback?")
    assert not troubles


def test_a_token_opens_the_page_that_was_asked_for_too(
    browser: Browser, dashboard: DashboardServer, troubles: list[str]
) -> None:
    with open_context(browser) as context:
        page = context.new_page()
        opened(page, troubles, f"{dashboard.url}/#/refused")
        page.get_by_label("Access token").fill(READER)
        page.get_by_role("button", name="Sign in").click()

        expect(page.get_by_role("heading", name="0 refused")).to_be_visible()
        expect(page.locator(".who")).to_have_text(re.compile("reader"))
    assert not troubles


def test_without_tokens_the_page_offers_the_provider_alone(
    browser: Browser, provider: OpenIdProvider, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with (
        people_dashboard(tmp_path_factory.mktemp("alone"), provider.issuer, secret="any") as server,
        open_context(browser) as context,
    ):
        page = context.new_page()
        page.goto(server.url)

        expect(page.get_by_role("link", name="Sign in with localhost")).to_be_visible()
        expect(page.get_by_label("Access token")).to_be_hidden()
