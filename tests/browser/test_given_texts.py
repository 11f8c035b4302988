"""What clients write: the longest ids that are allowed break no page, and no id is so odd that it cannot be seen."""

from __future__ import annotations

import asyncio
import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from playwright.sync_api import expect
from tests.absent_tools import absent
from tests.browser.chromium import DESKTOP, PATIENCE_MILLISECONDS, PHONE, PROGRAM, chromium, show, sign_in, watched_page
from tests.browser.traffic import poison
from tests.servers.ingestion import UNLIMITED
from tests.servers.pipeline import RunningPipeline, running_pipeline

from cloudscale.events.timestamps import as_utc

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Locator, Page

pytestmark = pytest.mark.skipif(PROGRAM is None, reason=absent("chromium"))

SPEC = {
    "ingestion": {"rateLimits": UNLIMITED, "trustedProxies": ["127.0.0.1/32"]},
    "processing": {"fraud": {"velocity": {"limit": 2}}},
}
CLIENT = "2001:db85:1234:5678:9abc:def1:2345:6789"
TENANT, USER, EVENT, CORRELATION = "t" * 64, "u" * 128, "e" * 255, "c" * 128
PAGES = ["overview", "verification", "security", "users", "devices", "dead-letters", "events", "refused", "pipeline"]
MANY_USERS = 60
HOURS_APART = timedelta(hours=2)

OVERFLOWING = """() => [...document.querySelectorAll("main .card *, dialog *")]
    .filter((element) => !element.closest(".plot, .hidden, thead"))
    .filter((element) => {
        const around = element.closest(".card, dialog").getBoundingClientRect();
        return element.getBoundingClientRect().right > around.right + 1;
    })
    .map((element) => element.outerHTML.slice(0, 200))"""
SCROLLING = """() => [...document.querySelectorAll(".table")]
    .filter((table) => table.scrollWidth > table.clientWidth + 1)
    .map((table) => table.getAttribute("aria-label"))"""
SWALLOWED = """() => [...document.querySelectorAll("td, .key, .chip, dd")]
    .filter((element) => !element.closest(".plot, .hidden") && element.scrollWidth > element.clientWidth + 1)
    .filter((element) => getComputedStyle(element).display !== "inline")
    .map((element) => element.outerHTML.slice(0, 200))"""


def action(**fields: Any) -> dict[str, Any]:
    return {"eventType": "user_action", "actionName": "search", "tenantId": "odd", **fields}


async def send(url: str) -> None:
    """Events with the longest names that are allowed, with odd ones, of many users, and one to be refused."""
    longest = {"tenantId": TENANT, "userId": USER, "correlationId": CORRELATION}
    now = datetime.now(UTC)
    accepted = [
        *(action(**longest, eventId=f"{number}{EVENT[1:]}") for number in range(4)),
        action(eventId="z\u200b", userId="v\u200b"),
        action(eventId="a   z", userId="a\u2060b  c"),
        action(eventId="timed", createdAt=as_utc(now - HOURS_APART)),
        action(eventId="ahead", createdAt=as_utc(now + HOURS_APART)),
        action(eventId="untimed"),
        *(action(tenantId="many", userId=f"user-{number}") for number in range(MANY_USERS)),
    ]
    visit = {"eventType": "page_view", "tenantId": TENANT}
    refused = [{**visit, "x" * 128: 1}, visit]
    headers = {"X-Forwarded-For": CLIENT}
    async with aiohttp.ClientSession(headers=headers) as session:
        for events, status in ((accepted, 202), (refused, 400)):
            for event in events:
                async with session.post(f"{url}/api/events", json=event) as response:
                    assert response.status == status, await response.text()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningPipeline]:
    with running_pipeline(tmp_path_factory.mktemp("given"), spec=SPEC) as running:
        asyncio.run(send(running.url))
        asyncio.run(poison(running, tenants=[TENANT], event_id=EVENT))
        yield running


# After the pipeline: Playwright keeps an event loop running, beside which none can be run.
@pytest.fixture(scope="module")
def browser(running: RunningPipeline) -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def size() -> tuple[int, int]:
    return DESKTOP


@pytest.fixture
def page(browser: Browser, running: RunningPipeline, size: tuple[int, int]) -> Iterator[Page]:
    """A page of somebody who is signed in. It fails the test if a script fails."""
    with watched_page(browser, size=size) as page:
        sign_in(page, running.dashboard_url, running.token)
        yield page


def seen(locator: Locator) -> None:
    expect(locator).to_be_visible(timeout=PATIENCE_MILLISECONDS)


def fits(page: Page, where: str) -> None:
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), where
    for faults in (OVERFLOWING, SCROLLING, SWALLOWED):
        assert page.evaluate(faults) == [], where


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_the_longest_names_fit_every_page_and_every_dialog(page: Page, running: RunningPipeline) -> None:
    seen(page.locator(".legend .key", has_text=TENANT).first)
    holds = {
        "verification": ["Balance by tenant and hour"],
        "security": ["Alerts", "Suspicious events", "Top clients"],
        "users": ["Users"],
        "dead-letters": ["Dead letters: UnknownEventType"],
        "events": ["Events"],
        "refused": ["Refused", "By tenant"],
    }
    for name in PAGES:
        query = f"?tenant={TENANT}" if name in {"users", "events", "security"} else ""
        show(page, running.dashboard_url, name + query)
        seen(page.locator("main .card").first)
        for region in holds.get(name, []):
            seen(page.get_by_role("region", name=region, exact=True).locator(".given", has_text=TENANT).first)
        fits(page, name)
        for table in page.locator("main .table").all():
            opening = table.locator("tbody button")
            if opening.count():
                opening.first.click()
                seen(page.locator("dialog dt").first)
                fits(page, f"dialog of {name}")
                page.keyboard.press("Escape")


def test_a_table_that_has_more_than_is_in_sight_says_how_to_scroll_it(page: Page, running: RunningPipeline) -> None:
    show(page, running.dashboard_url, "verification")
    region = page.get_by_role("region", name="Balance by tenant and hour")
    hint = page.locator(".listing", has=region).get_by_text("Scroll the table sideways for all columns")
    seen(region)
    expect(hint).to_be_hidden()

    page.set_viewport_size({"width": 620, "height": 800})
    assert region.evaluate("table => table.scrollWidth > table.clientWidth")
    seen(hint)


@pytest.mark.parametrize(
    ("event_id", "said"),
    [
        ("untimed", re.compile("The event did not say when")),
        ("timed", re.compile(r"Created on the device.*Accepted by ingestion.*2 h later")),
        ("ahead", re.compile(r"Created on the device.*2 h earlier than the device's clock said")),
    ],
)
def test_an_event_says_whose_time_it_has(
    page: Page, running: RunningPipeline, event_id: str, said: re.Pattern[str]
) -> None:
    page.goto(f"{running.dashboard_url}/#/events/odd/{event_id}")

    expect(page.get_by_role("dialog").locator(".way")).to_contain_text(said)


def test_ids_with_blanks_and_invisible_characters_are_seen_and_opened(page: Page, running: RunningPipeline) -> None:
    show(page, running.dashboard_url, "events?tenant=odd")
    rows = page.get_by_role("region", name="Events").locator("tbody")
    dialog = page.get_by_role("dialog")

    rows.get_by_role("button", name=r"a \u0020\u0020z", exact=True).click()
    expect(dialog.locator(".facts")).to_contain_text(r"a\u2060b \u0020c")
    expect(dialog.locator("pre")).to_contain_text(r"a\u2060b  c")
    page.keyboard.press("Escape")
    rows.get_by_role("button", name=r"z\u200b", exact=True).click()
    dialog.get_by_role("link", name="To this event").click()
    expect(dialog.locator(".facts")).to_contain_text(r"\u200b")
    dialog.get_by_role("link", name=r"v\u200b", exact=True).click()

    expect(page.get_by_role("region", name="Users").locator("tbody tr")).to_have_count(1)
    page.get_by_role("region", name="Users").get_by_role("button", name=r"v\u200b", exact=True).click()
    dialog.locator("a[href^='#/events']").click()
    expect(page.get_by_role("heading", name="1 events")).to_be_visible()
    page.get_by_role("button", name="Find").click()
    expect(page.get_by_role("heading", name="1 events")).to_be_visible()


def test_users_are_found_and_the_page_says_how_many_are_shown(page: Page, running: RunningPipeline) -> None:
    show(page, running.dashboard_url, "users")
    about = page.locator("main .card", has_text="Highest engagement scores")
    rows = page.get_by_role("region", name="Users").locator("tbody tr")
    expect(about).to_contain_text(re.compile(r"\d\d users have a profile. The 50 with the highest scores are shown."))

    page.get_by_label("Tenant").fill(" many ")
    page.get_by_role("button", name="Find").click()
    expect(page).to_have_url(re.compile(r"#/users\?tenant=many$"))
    expect(about).to_contain_text("60 matching users have a profile. The 50 with the highest scores are shown.")
    expect(rows).to_have_count(50)

    page.get_by_label("User", exact=True).fill("user-7")
    page.get_by_label("User", exact=True).press("Enter")
    expect(about).to_contain_text("1 matching user has a profile.")
    expect(rows).to_have_count(1)

    page.get_by_label("User", exact=True).fill("nobody")
    page.get_by_role("button", name="Find").click()
    expect(about).to_contain_text("No user matches.")
    expect(about).not_to_contain_text("have a profile")
    page.go_back()
    expect(rows).to_have_count(1)
    page.get_by_role("link", name="Clear").click()
    expect(rows).to_have_count(50)
