"""Pages of a pipeline that holds 130,000 events, has a backlog and many dead letters, or shows figures that are old."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect
from tests.absent_tools import absent
from tests.browser.chromium import DESKTOP, PHONE, PROGRAM, chromium, show, sign_in, watched_page
from tests.browser.fullness import BACKLOG_MESSAGES, DEAD_LETTERS, EVENTS, USERS, fill, publishing
from tests.browser.place import Place, backends
from tests.browser.traffic import TENANTS
from tests.dashboard.tokens import OWNER, TOKENS
from tests.servers.dashboard import dashboard_server

from cloudscale.cache.keys import keys_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Locator, Page

pytestmark = pytest.mark.skipif(PROGRAM is None, reason=absent("chromium"))

ALL_PAGES = [
    *("overview", "verification", "security", "users", "devices"),
    *("dead-letters", "events", "refused", "pipeline"),
]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    directory = tmp_path_factory.mktemp("full")
    with backends(directory) as opened:
        fill(opened.resource, opened.settings, opened.store)
        with (
            publishing(opened.redis.url, key=keys_of(opened.resource).figures),
            dashboard_server(directory / "dashboard", opened.settings, tokens=TOKENS) as dashboard,
        ):
            yield Place(dashboard, opened)


# After the servers: Playwright keeps an event loop running, beside which none can be run.
@pytest.fixture(scope="module")
def browser(place: Place) -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture(params=[DESKTOP, PHONE], ids=["desktop", "phone"])
def page(browser: Browser, place: Place, request: pytest.FixtureRequest) -> Iterator[Page]:
    """A page of somebody who may act. It is never wider than the screen."""
    with watched_page(browser, size=request.param) as page:
        sign_in(page, place.dashboard.url, OWNER)
        yield page
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def test_every_page_has_its_content_and_fits(page: Page, place: Place) -> None:
    for name in ALL_PAGES:
        show(page, place.dashboard.url, name)
        expect(page.locator("main .card").first).to_be_visible()
        expect(page.get_by_role("alert")).to_have_count(0)
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), name


def test_events_are_turned_and_found_among_all(page: Page, place: Place) -> None:
    show(page, place.dashboard.url, "events")
    expect(page.get_by_role("heading", name="The newest 100 events")).to_be_visible()
    page.get_by_role("link", name="Older").click()
    expect(page.get_by_role("heading", name="100 older events")).to_be_visible()

    show(page, place.dashboard.url, "events?until=2000-01-01T00:00:00Z")
    expect(page.get_by_text("No event matches.")).to_be_visible()

    show(page, place.dashboard.url, f"events?correlationId={EVENTS - 1:032x}")
    expect(page.get_by_role("heading", name="1 events")).to_be_visible()


def test_users_are_turned_from_the_highest_score_on(page: Page, place: Place) -> None:
    show(page, place.dashboard.url, "users")
    expect(page.get_by_text(f"{len(TENANTS) * USERS:,} users have a profile. The 50 with the highest")).to_be_visible()
    rows = page.get_by_role("region", name="Users").locator("tbody tr")
    expect(rows).to_have_count(50)
    last = score_of(rows.last)

    page.get_by_role("link", name="Lower scores").click()

    expect(page.get_by_text("50 of them with lower scores are shown")).to_be_visible()
    assert score_of(rows.first) <= last
    page.get_by_role("link", name="Highest scores").click()
    expect(page.get_by_text("The 50 with the highest")).to_be_visible()


def score_of(row: Locator) -> int:
    return int(row.get_by_role("cell").nth(2).inner_text().replace(",", ""))


def test_the_banner_tells_of_a_backlog_and_how_it_moves(page: Page) -> None:
    banner = page.locator(".health")

    expect(banner).to_contain_text(f"{BACKLOG_MESSAGES:,} events wait in the queue, and it does not get less.")
    expect(banner).to_have_class(re.compile("bad"))


def test_dead_letters_are_counted_beyond_those_that_are_shown(page: Page, place: Place) -> None:
    [(often, many), (seldom, few)] = DEAD_LETTERS.items()
    show(page, place.dashboard.url, "dead-letters")

    expect(page.get_by_text(f"The first 200 of {many + few} dead letters are shown.")).to_be_visible()
    expect(page.get_by_role("heading", name=f"{often}: {many}")).to_be_visible()
    group = page.locator(".card", has=page.get_by_role("heading", name=f"{seldom}: {few}"))
    expect(group).to_contain_text("None of them is among the first")

    group.get_by_role("link", name="Show this reason only").click()

    rows = page.get_by_role("region", name=f"Dead letters: {seldom}").locator("tbody tr")
    expect(rows).to_have_count(few)
    expect(page.get_by_role("heading", name=often)).to_have_count(0)
    page.get_by_role("button", name="Discard all with this reason").click()
    dialog = page.get_by_role("dialog", name=f"Discard all dead letters with the reason {seldom}?")
    expect(dialog.get_by_role("button", name="Discard")).to_be_disabled()
    dialog.get_by_role("button", name="Cancel").click()
    expect(rows).to_have_count(few)


def test_the_banner_says_that_figures_are_old(page: Page, place: Place) -> None:
    banner = page.locator(".health")
    expect(banner).to_contain_text("events wait")

    place.backends.redis.kill()
    try:
        expect(banner).to_contain_text("The figures are")
        expect(banner).to_contain_text("old: Redis or the dashboard's collector does not answer")
        expect(banner).to_have_class(re.compile("bad"))
    finally:
        place.backends.redis.start()
    expect(banner).to_contain_text("events wait")
