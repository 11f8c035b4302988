"""Every page of the dashboard in a real browser, on the live data of a running pipeline."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect
from tests.absent_tools import absent
from tests.browser.chromium import (
    DESKTOP,
    PATIENCE_MILLISECONDS,
    PHONE,
    PROGRAM,
    chromium,
    open_context,
    show,
    sign_in,
    watched_page,
)
from tests.browser.devices import DEVICES, register_devices
from tests.browser.traffic import flow, poison
from tests.dashboard.tokens import CONTOSO, TOKENS
from tests.servers.dashboard import dashboard_server
from tests.servers.pipeline import RunningPipeline, running_pipeline
from tests.waiting import wait_until_sync

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from playwright.sync_api import Browser, Page, Route

pytestmark = pytest.mark.skipif(PROGRAM is None, reason=absent("chromium"))

AXE = Path(__file__).parent / "vendor" / "axe.min.js"
PAGES = [
    *("overview", "verification", "security", "users", "devices", "dead-letters", "events", "refused", "pipeline"),
    "access",
]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningPipeline]:
    """A pipeline with traffic for as long as the tests run, and two dead letters."""
    with running_pipeline(tmp_path_factory.mktemp("shops")) as running:
        loop = asyncio.new_event_loop()
        stream = loop.create_task(flow(running.url, events_per_second=100))
        traffic = threading.Thread(target=lambda: loop.run_until_complete(asyncio.wait([stream])))
        traffic.start()
        try:
            asyncio.run(poison(running, tenants=("contoso", "fabrikam")))
            asyncio.run(register_devices(running, tenants=("contoso", "fabrikam")))
            yield running
        finally:
            loop.call_soon_threadsafe(stream.cancel)
            traffic.join()
            loop.close()


# Not for the whole session: Playwright keeps an event loop running, beside which no asynchronous test can run.
@pytest.fixture(scope="module")
def browser(running: RunningPipeline) -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def page(browser: Browser, running: RunningPipeline) -> Iterator[Page]:
    """A page of somebody who is signed in. It fails the test if a script fails or is refused."""
    with watched_page(browser) as page:
        sign_in(page, running.dashboard_url, running.token)
        yield page


# Contrast depends on the theme alone and overflow on the size alone, so two of the four combinations are enough.
@pytest.mark.parametrize(("size", "dark"), [(DESKTOP, False), (PHONE, True)], ids=["desktop-light", "phone-dark"])
def test_every_page_is_accessible_and_fits_its_screen(
    browser: Browser, running: RunningPipeline, size: tuple[int, int], dark: bool
) -> None:
    with watched_page(browser, size=size, dark=dark) as page:
        sign_in(page, running.dashboard_url, running.token)
        for name in PAGES:
            show(page, running.dashboard_url, name)
            expect(page.locator("main .card").first).to_be_visible()

            assert violations(page) == [], name
            assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), name


def test_a_phone_reaches_every_page_and_shows_rows_as_cards(browser: Browser, running: RunningPipeline) -> None:
    with watched_page(browser, size=PHONE) as page:
        sign_in(page, running.dashboard_url, running.token)
        for name in PAGES:
            page.locator(f"nav a[data-page={name}]").click()
            expect(page.locator(f"nav a[data-page={name}]")).to_have_attribute("aria-current", "page")
            expect(page.locator("main .card").first).to_be_visible()
            for link in page.locator("nav.pages a").all():
                box = link.bounding_box()
                assert box is not None
                assert 0 <= box["x"] <= box["x"] + box["width"] <= PHONE[0], name
            expect(page.locator(f"nav a[data-page={name}]")).to_be_in_viewport(ratio=1)
            for table in page.locator(".table").all():
                assert table.evaluate("table => table.scrollWidth <= table.clientWidth"), name

        page.locator("nav a[data-page=events]").click()
        cell = page.get_by_role("region", name="Events").get_by_role("cell").nth(1)
        assert cell.evaluate("cell => getComputedStyle(cell, '::before').content") == '"Received"'


def violations(page: Page) -> list[str]:
    """What axe finds, one line for each rule."""
    page.evaluate(AXE.read_text(encoding="utf-8"))
    found = page.evaluate("async () => (await axe.run()).violations")
    return [f"{each['id']}: {each['nodes'][0]['html']} {each['nodes'][0]['failureSummary']}" for each in found]


def test_the_sign_in_page_is_accessible_and_says_what_is_wrong(browser: Browser, running: RunningPipeline) -> None:
    with open_context(browser, size=PHONE) as context:
        page = context.new_page()
        page.goto(running.dashboard_url)
        assert violations(page) == []

        page.get_by_label("Access token").fill("not the token")
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_role("alert")).to_contain_text("not known")

        page.get_by_label("Access token").fill(running.token)
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_role("heading", name="Overview")).to_be_visible()


def test_signing_out_ends_the_session(page: Page) -> None:
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()

    page.goto(page.url.replace("/sign-in", "/"))
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()


def test_signing_out_ends_the_other_tabs_too(page: Page, running: RunningPipeline) -> None:
    other = page.context.new_page()
    other.goto(running.dashboard_url)
    expect(other.get_by_role("heading", name="Overview")).to_be_visible()

    page.get_by_role("button", name="Sign out").click()

    expect(other.get_by_role("heading", name="Sign in")).to_be_visible()


def test_the_printed_link_signs_in_where_the_sign_in_page_is_open(browser: Browser, running: RunningPipeline) -> None:
    with open_context(browser) as context:
        page = context.new_page()
        page.goto(f"{running.dashboard_url}/sign-in")
        expect(page.get_by_role("heading", name="Sign in")).to_be_visible()

        page.goto(f"{running.dashboard_url}/sign-in#token={running.token}")

        expect(page.get_by_role("heading", name="Overview")).to_be_visible()
        assert "token" not in page.url


def test_the_banner_says_what_the_server_finds(page: Page) -> None:
    # The two dead letters wait for a decision at the least; on a slow machine there is worse.
    expect(page.locator(".health")).to_have_class(re.compile("bad|warn"))
    # Its figures move, so both are read together until they agree.
    said = """async () => {
        const { now } = await (await fetch("/api/history")).json();
        return document.querySelector(".health").textContent.includes(now.health.message);
    }"""
    wait_until_in(page, lambda: bool(page.evaluate(said)))


def test_the_overview_moves_with_the_traffic(page: Page) -> None:
    expect(page.locator(".tile", has_text="Accepted")).to_contain_text(re.compile(r"[1-9]"))
    expect(page.locator(".tile", has_text="Persisted")).to_contain_text(re.compile(r"[1-9]"))
    expect(page.locator(".chart canvas")).to_have_count(11)
    expect(page.locator(".level")).to_have_count(4)
    plot = page.locator(".chart", has_text="Throughput").locator(".plot")
    before = plot.get_attribute("aria-label")

    page.wait_for_function(
        "before => document.querySelector('.chart .plot').getAttribute('aria-label') !== before", arg=before
    )


def test_what_is_shown_is_at_most_two_seconds_old(page: Page) -> None:
    ages = page.evaluate(
        """async () => {
            const source = new EventSource("/api/stream");
            const ages = [];
            await new Promise((done) => {
                source.onmessage = (event) => {
                    ages.push(Date.now() / 1000 - JSON.parse(event.data).point.at);
                    if (ages.length === 6) done();
                };
            });
            source.close();
            return ages.slice(1);
        }"""
    )

    assert sorted(ages)[len(ages) // 2] < 2


def test_a_plot_says_the_time_under_the_pointer(page: Page) -> None:
    chart = page.locator(".chart", has_text="Throughput")
    expect(chart.locator(".moment")).to_have_text("")

    page.wait_for_function("document.querySelector('.chart .legend b')?.textContent > '0'")
    plot = chart.locator(".u-over")
    box = plot.bounding_box()
    assert box is not None
    plot.hover(position={"x": box["width"] - 2, "y": 20})

    expect(chart.locator(".moment")).to_have_text(re.compile(r"\d{1,2} \w{3} \d{4}, \d\d:\d\d:\d\d"))


def test_a_time_beyond_the_last_bucket_is_not_made_up(page: Page) -> None:
    texts = page.evaluate(
        """async () => {
            const { measured } = await import("/static/format.js");
            const { now } = await (await fetch("/api/history")).json();
            return [60_000, now.longest.lag].map((value) => measured(value, now.longest.lag));
        }"""
    )

    assert texts == ["60 s", "> 24 h"]


def test_no_line_is_drawn_over_a_time_without_points(page: Page) -> None:
    [times, values] = page.evaluate(
        """async () => {
            const { withGaps } = await import("/static/gaps.js");
            return withGaps([0, 2, 4, 100, 102, 104], [[1, 1, 1, 2, 2, 2]]);
        }"""
    )

    assert times == [0, 2, 4, 6, 100, 102, 104]
    assert values == [1, 1, 1, None, 2, 2, 2]


def test_plots_show_a_day_and_a_week(page: Page) -> None:
    for name, span in (("24 hours", "day"), ("7 days", "week")):
        with page.expect_response(re.compile(f"span={span}")) as answer:
            page.get_by_role("button", name=name).click()
        assert answer.value.ok
        expect(page.get_by_role("button", name=name)).to_have_attribute("aria-pressed", "true")
    expect(page.locator(".chart canvas")).to_have_count(11)


def test_plots_mark_the_start_of_a_process(page: Page, running: RunningPipeline) -> None:
    process_file = running.directory / "data" / "logs" / "worker.pid"
    os.kill(int(process_file.read_text()), signal.SIGKILL)

    page.wait_for_function("Number(document.querySelector('.chart .plot').dataset.starts) > 0")


def test_plots_show_the_chosen_time(page: Page) -> None:
    page.get_by_role("button", name="1 hour").click()

    expect(page.get_by_role("button", name="1 hour")).to_have_attribute("aria-pressed", "true")
    expect(page.get_by_role("button", name="5 min", exact=True)).to_have_attribute("aria-pressed", "false")


def test_the_page_comes_back_to_life_after_the_dashboard_was_away(page: Page, running: RunningPipeline) -> None:
    process_file = running.directory / "data" / "logs" / "dashboard.pid"
    os.kill(int(process_file.read_text()), signal.SIGKILL)

    expect(page.locator("#live")).to_have_text("Reconnecting…")
    expect(page.locator("#live")).to_have_text("Live")
    expect(page.locator(".tile", has_text="Accepted")).to_contain_text(re.compile(r"[1-9]"))


def test_the_theme_is_remembered(page: Page) -> None:
    def background() -> str:
        return str(page.evaluate("getComputedStyle(document.body.parentElement).backgroundColor"))

    light = background()
    page.get_by_role("button", name="Switch between light and dark").click()
    assert background() != light

    page.reload()
    assert background() != light


def test_pages_are_reached_by_keyboard(page: Page) -> None:
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to content")).to_be_focused()

    page.get_by_role("link", name="Users").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Users")).to_be_visible()
    expect(page.locator("main")).to_be_focused()


def test_verifying_now_shows_a_balance(page: Page, running: RunningPipeline) -> None:
    show(page, running.dashboard_url, "verification")
    page.get_by_role("button", name="Verify now").click()

    expect(page.locator(".health")).to_contain_text("Nothing is missing")
    expect(page.get_by_role("region", name="Balance by tenant and hour")).to_contain_text("contoso")


def test_an_event_shows_its_way_through_the_pipeline(page: Page, running: RunningPipeline) -> None:
    show(page, running.dashboard_url, "events")
    first = page.get_by_role("region", name="Events").locator("tbody button").first
    event_id = first.inner_text()
    page.get_by_label("Event id").fill(event_id)
    page.get_by_role("button", name="Find").click()
    expect(page.get_by_role("heading", name="1 events")).to_be_visible()

    page.get_by_role("region", name="Events").locator("tbody button").first.press("Enter")
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("Stored by a worker")
    assert violations(page) == []
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)


def test_what_is_asked_for_stands_in_the_address_and_pages_are_turned(page: Page, running: RunningPipeline) -> None:
    show(page, running.dashboard_url, "events")
    page.get_by_label("Tenant").fill("northwind")
    page.get_by_role("button", name="Find").click()
    expect(page).to_have_url(re.compile(r"#/events\?tenant=northwind$"))
    events = page.get_by_role("region", name="Events")
    expect(events.locator("tbody tr").first).to_contain_text("northwind")
    newest = events.locator("tbody button").first.inner_text()

    page.get_by_role("link", name="Older").click()
    expect(page.get_by_role("heading", name="older events")).to_be_visible()
    expect(page.get_by_label("Tenant")).to_have_value("northwind")
    expect(events).not_to_contain_text(newest)
    page.reload()
    expect(page.get_by_role("heading", name="older events")).to_be_visible()
    page.go_back()
    expect(page.get_by_role("heading", name="The newest")).to_be_visible()


def test_a_link_opens_an_event_and_leads_on_to_its_user_and_back(page: Page, running: RunningPipeline) -> None:
    show(page, running.dashboard_url, "events?suspicious=true")
    rows = page.get_by_role("region", name="Events").locator("tbody tr")
    expect(rows.first).to_contain_text("Suspicious")
    event_id = rows.first.get_by_role("button").inner_text()
    tenant = rows.first.locator("td").nth(3).inner_text()

    page.goto(f"{running.dashboard_url}/#/events/{tenant}/{event_id}")
    dialog = page.get_by_role("dialog", name="Event")
    expect(dialog).to_contain_text("Stored by a worker")
    user = dialog.locator("a[href^='#/users']").inner_text()
    dialog.get_by_role("link", name=user, exact=True).click()
    expect(dialog).to_have_count(0)
    page.get_by_role("region", name="Users").get_by_role("button", name=user, exact=True).click()
    page.get_by_role("dialog", name="User").locator("a[href^='#/events']").click()
    expect(page.get_by_label("User", exact=True)).to_have_value(user)


def test_devices_show_when_they_were_seen_and_which_clocks_are_wrong(page: Page, running: RunningPipeline) -> None:
    show(page, running.dashboard_url, "devices?tenant=contoso&type=thermostat")
    rows = page.get_by_role("region", name="Devices").get_by_role("row")
    expect(rows).to_have_count(4)
    wrong = page.locator(".tag.warn")
    expect(wrong).to_have_text(["2 h behind"])

    rows.filter(has=wrong).get_by_role("button").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("floor")
    assert violations(page) == []
    dialog.get_by_role("link", name="Of this device").click()
    expect(page).to_have_url(re.compile(r"#/events\?device=thermostat-2&tenant=contoso$"))
    expect(page.get_by_label("Device")).to_have_value("thermostat-2")


def test_devices_are_turned_page_by_page(page: Page, running: RunningPipeline) -> None:
    show(page, running.dashboard_url, "devices?tenant=contoso")
    rows = page.get_by_role("region", name="Devices").get_by_role("row")
    expect(rows).to_have_count(51)
    page.get_by_role("link", name="Next").click()
    expect(rows).to_have_count(DEVICES - 50 + 1)
    page.get_by_role("link", name="First").click()
    expect(rows).to_have_count(51)


def test_who_sees_one_tenant_sees_its_devices(browser: Browser, running: RunningPipeline, tmp_path: Path) -> None:
    with (
        dashboard_server(tmp_path, running.instance.settings, tokens=TOKENS) as dashboard,
        watched_page(browser) as page,
    ):
        sign_in(page, dashboard.url, CONTOSO)
        show(page, dashboard.url, "devices?type=thermostat")
        expect(page.get_by_role("region", name="Devices").get_by_role("row")).to_have_count(4)
        expect(page.get_by_text("fabrikam")).to_have_count(0)


def test_users_show_their_scores(page: Page, running: RunningPipeline) -> None:
    show(page, running.dashboard_url, "users")
    page.get_by_role("region", name="Users").locator("tbody button").first.click()

    expect(page.get_by_role("dialog")).to_contain_text("Engagement score")


def test_security_shows_the_evidence_of_an_alert(page: Page, running: RunningPipeline) -> None:
    show(page, running.dashboard_url, "security")
    page.get_by_role("region", name="Alerts").locator("tbody button").first.click()

    expect(page.get_by_role("dialog")).to_contain_text('"rule": "velocity"')


def test_a_page_shows_an_answer_that_takes_longer_than_its_pause(page: Page, running: RunningPipeline) -> None:
    asked: list[Route] = []
    page.clock.install()
    page.route("**/api/security", lambda route: asked.append(route))  # noqa: PLW0108 - Playwright marks functions
    page.goto(f"{running.dashboard_url}/#/security")
    wait_until_in(page, lambda: len(asked) == 1)
    page.clock.run_for(60_000)
    expect(page.get_by_text("Loading…")).to_have_count(1)
    assert len(asked) == 1

    asked[0].continue_()

    expect(page.get_by_role("region", name="Alerts")).to_be_visible()


def wait_until_in(page: Page, condition: Callable[[], bool]) -> None:
    """Wait for a condition while the browser's events are handled, on a page with a clock of its own."""
    deadline = time.monotonic() + PATIENCE_MILLISECONDS / 1000
    while not condition():
        assert time.monotonic() < deadline
        page.wait_for_load_state()
        page.evaluate("0")


def test_a_dead_letter_is_discarded_after_asking_and_recorded(page: Page, running: RunningPipeline) -> None:
    show(page, running.dashboard_url, "dead-letters")
    rows = page.get_by_role("region", name="Dead letters").locator("tbody tr")
    expect(rows).to_have_count(2)

    rows.first.locator("button").click()
    expect(page.get_by_role("dialog")).to_contain_text("unheard_of")
    page.get_by_role("dialog").get_by_role("button", name="Discard").click()
    expect(page.get_by_role("dialog")).to_contain_text("recorded with your name")
    page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
    expect(rows).to_have_count(2)

    rows.first.locator("button").click()
    page.get_by_role("dialog").get_by_role("button", name="Discard").click()
    page.get_by_role("dialog", name="Discard this dead letter?").get_by_role("button", name="Discard").click()
    expect(page.get_by_text("1 discarded.")).to_be_visible()
    expect(rows).to_have_count(1)

    show(page, running.dashboard_url, "pipeline")
    expect(page.get_by_role("region", name="Audit record")).to_contain_text("1 done")


def test_chosen_dead_letters_are_discarded_together_and_all_only_after_typing(
    page: Page, running: RunningPipeline
) -> None:
    # Playwright's own event loop runs in this thread.
    with ThreadPoolExecutor() as threads:
        threads.submit(asyncio.run, poison(running, tenants=["contoso"] * 3)).result()
    show(page, running.dashboard_url, "dead-letters")
    group = page.get_by_role("region", name="Dead letters: UnknownEventType")
    rows = group.locator("tbody tr")
    wait_until_sync(lambda: rows.count() >= 4, within=timedelta(seconds=30))
    before = rows.count()
    number = rows.first.get_by_role("button").inner_text()
    for row in (0, 1):
        rows.nth(row).get_by_role("checkbox").check()

    page.get_by_role("button", name="Discard 2 chosen").click()
    page.get_by_role("dialog", name="Discard 2 dead letters?").get_by_role("button", name="Discard").click()
    expect(page.get_by_text("2 discarded.")).to_be_visible()
    expect(rows).to_have_count(before - 2)
    expect(group.get_by_role("button", name=number, exact=True)).to_have_count(0)

    page.get_by_role("button", name="Discard all").click()
    dialog = page.get_by_role("dialog", name="Discard all dead letters?")
    expect(dialog.get_by_role("button", name="Discard")).to_be_disabled()
    assert violations(page) == []
    dialog.get_by_label("to go on").fill(running.instance.pipeline.metadata.name)
    dialog.get_by_role("button", name="Discard").click()
    expect(page.get_by_text("No dead letters.")).to_be_visible()


def test_a_tenant_s_viewer_has_no_page_of_the_whole_pipeline(
    browser: Browser, running: RunningPipeline, tmp_path: Path
) -> None:
    with (
        dashboard_server(tmp_path, running.instance.settings, tokens=TOKENS) as dashboard,
        open_context(browser) as context,
    ):
        page = context.new_page()
        sign_in(page, dashboard.url, CONTOSO)
        wait_until_sync(lambda: page.locator(".chart canvas").count() == 4, within=timedelta(seconds=30))

        expect(page.get_by_role("link", name="Pipeline")).to_have_count(0)
        expect(page.locator(".levels")).to_be_hidden()
        page.goto(f"{dashboard.url}/#/pipeline")
        expect(page.get_by_role("heading", name="Overview")).to_be_visible()
