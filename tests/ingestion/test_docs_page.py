"""The page that the API shows of itself: what it tells to type can be typed, in a browser or without scripts."""

from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING

import pytest
from tests.absent_tools import absent
from tests.browser.chromium import PROGRAM, chromium

if TYPE_CHECKING:
    from tests.ingestion.client import Client
    from tests.servers.ingestion import IngestionServer


def test_the_example_has_an_address_without_scripts_too(client: Client) -> None:
    example = re.search(r"<pre[^>]*>(.*?)</pre>", client.request("GET", "/docs").body.decode(), re.DOTALL)

    assert example is not None
    assert "http://127.0.0.1:8080/api/v1/events" in example[1]


@pytest.mark.skipif(PROGRAM is None, reason=absent("chromium"))
def test_the_example_can_be_pasted(server: IngestionServer) -> None:
    with chromium() as browser:
        page = browser.new_page()
        failed: list[str] = []
        page.on("response", lambda response: failed.append(response.url) if response.status >= 400 else None)
        page.goto(f"{server.url}/docs")
        page.get_by_text("application/cloudevents-batch+json").first.wait_for()
        example = page.locator("#example").inner_text()
        texts = page.locator("body").inner_text()

    assert failed == []
    assert "ce-specversion" in texts
    assert "com.cloudscale." in texts
    result = subprocess.run(("bash", "-c", example), capture_output=True, text=True, check=True, timeout=30)
    assert result.stdout.startswith("HTTP/1.1 202")


def test_the_page_has_an_icon(client: Client) -> None:
    answer = client.request("GET", "/favicon.ico")

    assert (answer.status, answer.headers["content-type"]) == (200, "image/svg+xml")
    assert answer.body.startswith(b"<svg")
