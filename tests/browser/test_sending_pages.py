"""Pages of another origin that send events with the pipeline's own script, in a real browser to a real pipeline."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Final
from urllib.request import Request, urlopen

import msgspec
import pytest
from tests.absent_tools import absent
from tests.browser.chromium import PATIENCE_MILLISECONDS, PROGRAM, chromium
from tests.docs.blocks import ROOT
from tests.servers.ingestion import UNLIMITED
from tests.servers.pipeline import RunningPipeline, running_pipeline
from tests.waiting import wait_until_sync

from cloudscale.access.administration import Administration
from cloudscale.access.container import open_access
from cloudscale.access.new_keys import KeyRights
from cloudscale.access.scopes import Scope
from cloudscale.access.shared_cache import SharedCache
from cloudscale.cache.connection import open_redis
from cloudscale.cache.keys import keys_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser, Page, Route

    from cloudscale.local.instance import Instance

pytestmark = [
    pytest.mark.skipif(PROGRAM is None, reason=absent("chromium")),
    pytest.mark.timeout(400),
]

TENANTS: Final = ("views", "outage", "closing", "elsewhere", "secret", "example")
EXAMPLE: Final = ROOT / "docs" / "clients" / "browser" / "shop.html"
SOON: Final = timedelta(seconds=120)


class Files(SimpleHTTPRequestHandler):
    """Files of a folder, without a line for each request."""

    def log_message(self, *_: Any) -> None:
        """Nothing."""


@dataclass(frozen=True)
class Shop:
    """Pages at ``origin``, which may send, and the same ones at ``other_origin``, which may not."""

    pipeline: RunningPipeline
    origin: str
    other_origin: str
    directory: Path
    keys: dict[str, str]
    """The public key of each tenant."""
    secrets: dict[str, str]
    """A key of each tenant that may send and read."""

    def write(self, tenant: str, *, attributes: str = "") -> str:
        """A page of this tenant: its path."""
        script = f'<script src="{self.pipeline.url}/cloudscale.js" data-key="{self.keys[tenant]}" {attributes} defer>'
        (self.directory / f"{tenant}.html").write_text(
            f'<!doctype html><link rel="icon" href="data:,"><title>A shop</title>{script}</script>'
        )
        return f"/{tenant}.html"

    def stored(self, tenant: str) -> list[dict[str, Any]]:
        """The tenant's events, as the API for reading has them."""
        url = f"{self.pipeline.dashboard_url}/api/v1/events?limit=200&order=asc"
        request = Request(url, headers={"Authorization": f"Bearer {self.secrets[tenant]}"})  # noqa: S310 - our own
        with contextlib.suppress(OSError), urlopen(request, timeout=10) as answer:  # noqa: S310
            events: list[dict[str, Any]] = msgspec.json.decode(answer.read())["events"]
            return events
        return []

    def wait_for(self, tenant: str, actions: set[str]) -> list[dict[str, Any]]:
        """The tenant's events, once these actions are among them."""

        def are_there() -> bool:
            return actions <= {event.get("actionName") for event in self.stored(tenant)}

        wait_until_sync(are_there, within=SOON, interval=timedelta(seconds=0.5))
        return self.stored(tenant)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    directory = tmp_path_factory.mktemp("pages")
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Files, directory=str(directory)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    port = server.server_address[1]
    origin = f"http://127.0.0.1:{port}"
    spec = {
        "access": {"mode": "Required", "browser": {"origins": [origin]}},
        "ingestion": {"rateLimits": UNLIMITED},
    }
    try:
        with running_pipeline(tmp_path_factory.mktemp("pipeline"), spec=spec) as pipeline:
            keys, secrets = asyncio.run(make_keys(pipeline.instance, origin))
            yield Shop(pipeline, origin, f"http://localhost:{port}", directory, keys, secrets)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


async def make_keys(instance: Instance, origin: str) -> tuple[dict[str, str], dict[str, str]]:
    public, secret = KeyRights(origins=frozenset({origin})), KeyRights(scopes=frozenset(Scope))
    async with (
        open_access(instance.pipeline.spec.store, instance.settings) as container,
        open_redis(instance.settings.redis_url) as redis,
    ):
        administration = Administration(container, SharedCache(redis, keys=keys_of(instance.pipeline)))
        for tenant in TENANTS:
            await administration.create_tenant(tenant)
        keys, secrets = [
            {tenant: (await administration.create_key(tenant, "test", rights=rights)).text for tenant in TENANTS}
            for rights in (public, secret)
        ]
        return keys, secrets


# After the servers: Playwright keeps an event loop running, beside which none can be run.
@pytest.fixture(scope="module")
def browser(shop: Shop) -> Iterator[Browser]:
    _ = shop
    with chromium() as browser:
        yield browser


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    with browser.new_context() as context:
        page = context.new_page()
        page.set_default_timeout(PATIENCE_MILLISECONDS)
        yield page


def track(page: Page, action: str) -> None:
    page.evaluate("action => cloudscale.track('user_action', { actionName: action })", action)


def waiting(page: Page) -> int:
    """How many events the page still has to send."""
    count: int = page.evaluate("Object.keys(localStorage).filter(name => name.startsWith('cloudscale.')).length")
    return count


def wait_until_sent(page: Page) -> None:
    page.wait_for_function(
        "!Object.keys(localStorage).some(name => name.startsWith('cloudscale.'))",
        polling=200,
        timeout=SOON.total_seconds() * 1000,
    )


def test_views_and_events_arrive_once_for_the_tenant_of_the_key(shop: Shop, page: Page) -> None:
    url = shop.origin + shop.write("views")
    page.goto(url)
    page.evaluate("history.pushState({}, '', '?hats'); history.pushState({}, '', '?hats#red')")
    track(page, "add_to_cart")
    page.go_back()
    page.go_back()
    track(page, "last")
    wait_until_sent(page)
    page.reload()
    track(page, "after")
    wait_until_sent(page)

    events = shop.wait_for("views", {"add_to_cart", "last", "after"})
    views = [event["url"] for event in events if event["eventType"] == "page_view"]
    assert views == [url, f"{url}?hats", url, url]
    assert [event["actionName"] for event in events if event["eventType"] == "user_action"] == [
        *("add_to_cart", "last", "after")
    ]
    assert {event["tenantId"] for event in events} == {"views"}
    assert all(shop.stored(tenant) == [] for tenant in TENANTS if tenant != "views")


def test_what_happens_while_the_pipeline_is_away_arrives_once_when_it_is_back(shop: Shop, page: Page) -> None:
    page.goto(shop.origin + shop.write("outage"))
    track(page, "before")
    wait_until_sent(page)
    shop.pipeline.stop()
    try:
        track(page, "during")
        with page.expect_event("requestfailed"):
            track(page, "still")
        assert waiting(page) == 2
    finally:
        shop.pipeline.start()
    wait_until_sent(page)
    track(page, "after")

    events = shop.wait_for("outage", {"before", "during", "still", "after"})
    actions = [event["actionName"] for event in events if event["eventType"] == "user_action"]
    assert sorted(actions) == ["after", "before", "during", "still"]
    assert sum(event["eventType"] == "page_view" for event in events) == 1


def test_what_happens_just_before_a_page_closes_arrives_by_a_beacon_and_once(shop: Shop, page: Page) -> None:
    path = shop.write("closing", attributes='data-views="off"')
    page.goto(shop.origin + path)
    page.evaluate("cloudscale.track('user_action', { actionName: 'leave' }); location.href = 'about:blank'")
    page.wait_for_url("about:blank")
    shop.wait_for("closing", {"leave"})

    # The answer was for nobody, so the next page sends the event again.
    page.goto(shop.origin + path)
    wait_until_sent(page)
    track(page, "return")
    events = shop.wait_for("closing", {"return"})
    assert sorted(event["actionName"] for event in events) == ["leave", "return"]


def test_a_page_of_another_origin_gets_nothing_in_by_any_way(shop: Shop, page: Page) -> None:
    page.goto(shop.other_origin + shop.write("elsewhere"))
    with page.expect_event("requestfailed"):
        track(page, "by the script")
    address, key = f"{shop.pipeline.url}/api/events", shop.keys["elsewhere"]
    sent = page.evaluate(
        """async ([address, key]) => {
            const event = action => JSON.stringify({ eventType: "user_action", actionName: action });
            navigator.sendBeacon(`${address}?key=${key}`, event("by a beacon"));
            const body = JSON.stringify({ cloudscaleKey: key, eventType: "user_action", actionName: "by the body" });
            await fetch(address, { method: "POST", mode: "no-cors", body });
            return fetch(`${address}?key=${key}`, { method: "POST", body: event("readable") }).catch(String);
        }""",
        [address, key],
    )
    assert sent == "TypeError: Failed to fetch"
    page.goto("about:blank")

    page.goto(shop.origin + shop.write("elsewhere", attributes='data-views="off"'))
    track(page, "allowed")
    events = shop.wait_for("elsewhere", {"allowed"})
    assert [event["actionName"] for event in events] == ["allowed"]


class Answers:
    """Answers what a page sends in the pipeline's stead, and notes for which events it was asked."""

    def __init__(self, page: Page, shop: Shop, *given: tuple[int, dict[str, str]]) -> None:
        self.asked: list[list[str]] = []
        self._given = list(given)
        self._origin = shop.origin
        page.route("**/api/v1/events/batch*", self._answer)

    def _answer(self, route: Route) -> None:
        events = msgspec.json.decode(route.request.post_data or "[]")
        self.asked.append([event["actionName"] for event in events])
        status, headers = self._given.pop(0) if self._given else (202, {})
        results = [{"index": index, "status": 202} for index in range(len(events))]
        cross_origin = {
            "access-control-allow-origin": self._origin,
            "access-control-expose-headers": "retry-after",
        }
        body = {"results": results} if status in (202, 207) else {"status": status}
        route.fulfill(status=status, headers={**cross_origin, **headers}, json=body)


@pytest.fixture
def quiet(shop: Shop, page: Page) -> Page:
    """A page that sends nothing by itself, and whose time can be put forward."""
    page.clock.install()
    page.goto(shop.origin + shop.write("views", attributes='data-views="off"'))
    return page


def test_the_script_waits_as_long_as_it_is_told(shop: Shop, quiet: Page) -> None:
    answers = Answers(quiet, shop, (429, {"retry-after": "3"}))
    # By the page's own clock, which its timers go by and which is not quite this process's.
    quiet.evaluate("""() => {
        const ask = window.fetch;
        window.askedAt = [];
        window.fetch = (...given) => { window.askedAt.push(Date.now()); return ask(...given); };
    }""")
    with quiet.expect_response("**/api/v1/events/batch"):
        track(quiet, "first")
    track(quiet, "second")
    wait_until_sent(quiet)

    assert answers.asked == [["first"], ["first", "second"]]
    first, second = quiet.evaluate("window.askedAt")
    assert second - first >= 3000


def test_the_script_gives_up_what_cannot_be_understood_and_goes_on(shop: Shop, quiet: Page) -> None:
    answers = Answers(quiet, shop, (400, {}))
    track(quiet, "wrong")
    wait_until_sent(quiet)
    track(quiet, "right")
    wait_until_sent(quiet)

    assert answers.asked == [["wrong"], ["right"]]


@pytest.mark.parametrize("status", [401, 403])
def test_the_script_keeps_what_its_key_is_refused_for_until_the_page_is_loaded_anew(
    shop: Shop, quiet: Page, status: int
) -> None:
    answers = Answers(quiet, shop, (status, {}))
    with quiet.expect_response("**/api/v1/events/batch"):
        track(quiet, "first")
    track(quiet, "second")
    quiet.clock.fast_forward(600_000)
    assert len(answers.asked) == 1
    quiet.reload()
    wait_until_sent(quiet)

    assert answers.asked == [["first"], ["first", "second"]]


def test_the_script_keeps_a_bounded_number_of_events_and_only_its_own_entries(shop: Shop, quiet: Page) -> None:
    quiet.route("**/api/v1/events/batch*", lambda route: route.abort())
    quiet.evaluate(
        """() => {
            localStorage.setItem("cs.theme", "dark");
            for (let n = 0; n < 700; n++) cloudscale.track("user_action", { actionName: `a${n}`, note: "x".repeat(n) });
            cloudscale.track("user_action", { actionName: "large", note: "x".repeat(10000) });
        }"""
    )
    kept = quiet.evaluate("Object.entries(localStorage).filter(([name]) => name.startsWith('cloudscale.'))")
    actions = {msgspec.json.decode(text)["actionName"] for _, text in kept}

    assert len(kept) <= 500
    assert sum(len(text) for _, text in kept) <= 260_000
    assert "a699" in actions
    assert "a0" not in actions
    assert "large" not in actions
    assert quiet.evaluate("localStorage.getItem('cs.theme')") == "dark"
    assert not any(key.rpartition("_")[2] in str(kept) for key in shop.keys.values())


def test_the_documentations_page_sends_a_view_and_a_click(shop: Shop, page: Page) -> None:
    text = EXAMPLE.read_text(encoding="utf-8")
    for written, meant in (
        ("https://events.shop.example", shop.pipeline.url),
        ("cs_PUBLIC_KEY", shop.keys["example"]),
    ):
        assert written in text
        text = text.replace(written, meant)
    (shop.directory / "example.html").write_text(text, encoding="utf-8")
    page.goto(f"{shop.origin}/example.html")
    page.click("#add")

    events = shop.wait_for("example", {"add_to_cart"})
    assert [event["eventType"] for event in events] == ["page_view", "user_action"]
    assert events[1]["properties"] == {"article": "shoes-7"}


def test_a_secret_key_in_an_address_is_refused_in_words_that_the_page_can_read(shop: Shop, page: Page) -> None:
    page.goto(shop.origin + shop.write("secret", attributes='data-views="off"'))
    status, problem = page.evaluate(
        """async ([address, key]) => {
            const body = JSON.stringify({ eventType: "page_view", url: location.href });
            const answer = await fetch(`${address}?key=${key}`, { method: "POST", body });
            return [answer.status, await answer.json()];
        }""",
        [f"{shop.pipeline.url}/api/events", shop.secrets["secret"]],
    )

    assert status == 403
    assert "rotate it now" in problem["detail"]
    assert shop.secrets["secret"] not in str(problem)
    track(page, "allowed")
    events = shop.wait_for("secret", {"allowed"})
    assert [event["actionName"] for event in events] == ["allowed"]
