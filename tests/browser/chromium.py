"""Debian's Chromium, driven by Playwright."""

from __future__ import annotations

import contextlib
import shutil
from typing import TYPE_CHECKING

from playwright.sync_api import expect, sync_playwright

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, BrowserContext, Page

# The first has no window, and does the same with half of the processor's time.
PROGRAMS = ("chromium-headless-shell", "chromium", "chromium-browser")
PROGRAM = next(filter(None, map(shutil.which, PROGRAMS)), None)

ARGUMENTS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
]

DESKTOP = (1440, 900)
PHONE = (390, 844)
PATIENCE_MILLISECONDS = 30_000

expect.set_options(timeout=PATIENCE_MILLISECONDS)


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """A browser without a window."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=PROGRAM, args=ARGUMENTS)
        try:
            yield browser
        finally:
            browser.close()


def open_context(browser: Browser, *, size: tuple[int, int] = DESKTOP, dark: bool = False) -> BrowserContext:
    """A fresh profile of the browser with a screen of this size."""
    return browser.new_context(viewport={"width": size[0], "height": size[1]}, color_scheme="dark" if dark else "light")


@contextlib.contextmanager
def watched_page(browser: Browser, *, size: tuple[int, int] = DESKTOP, dark: bool = False) -> Iterator[Page]:
    """A page in a fresh profile. Its end fails the test if a script failed, or was refused by the page's own policy."""
    with open_context(browser, size=size, dark=dark) as context:
        page = context.new_page()
        page.set_default_timeout(PATIENCE_MILLISECONDS)
        troubles: list[str] = []
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.on("console", lambda line: troubles.append(line.text) if "Content Security Policy" in line.text else None)
        yield page
        assert not troubles


def sign_in(page: Page, url: str, token: str) -> None:
    """Sign in with the link that ``cloudscale run`` can give, and wait for live figures."""
    page.goto(f"{url}/sign-in#token={token}")
    page.wait_for_url(f"{url}/")
    page.wait_for_selector("#live[data-state=live]")


def show(page: Page, url: str, name: str) -> None:
    """Go to a page and wait until it has its content."""
    page.goto(f"{url}/#/{name}")
    page.wait_for_selector(f"nav a[data-page={name.partition('?')[0]}][aria-current=page]")
    expect(page.get_by_text("Loading…")).to_have_count(0)
