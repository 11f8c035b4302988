"""The example of a page in a browser sends its events through a proxy on its own origin."""

from __future__ import annotations

import subprocess
import sys
from datetime import timedelta
from typing import TYPE_CHECKING
from urllib.error import URLError
from urllib.request import urlopen

import pytest
from playwright.sync_api import expect
from tests.browser.chromium import PROGRAM, chromium
from tests.docs.blocks import DOCS
from tests.servers.pipeline import running_pipeline
from tests.waiting import wait_until_sync

from cloudscale.local.ports import find_free_ports

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.timeout(240)


@pytest.mark.skipif(PROGRAM is None, reason="chromium is not installed here, so no browser opens the example's page")
def test_the_page_sends_a_view_and_a_click(tmp_path: Path) -> None:
    (port,) = find_free_ports("127.0.0.1", 1)
    url = f"http://127.0.0.1:{port}/page.html"
    with running_pipeline(tmp_path) as pipeline:
        proxy = subprocess.Popen((sys.executable, str(DOCS / "clients/browser/serve.py"), str(port), pipeline.url))
        try:
            wait_until_sync(lambda: _is_served(url), within=timedelta(seconds=30))
            with chromium() as browser:
                page = browser.new_page()
                page.goto(url)
                expect(page.locator("#answer")).to_have_text("browser: 202", timeout=30_000)
                with page.expect_response("**/api/v1/events") as answered:
                    page.click("#add")
                assert answered.value.status == 202
        finally:
            proxy.kill()
            proxy.wait()


def _is_served(url: str) -> bool:
    try:
        with urlopen(url, timeout=5):  # noqa: S310 - the address is ours
            return True
    except URLError:
        return False
