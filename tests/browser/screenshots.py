"""Takes the pictures of the dashboard that README shows: ``python -m tests.browser.screenshots docs/screenshots``."""

from __future__ import annotations

import asyncio
import sys
import tempfile
import threading
from pathlib import Path

from tests.browser.chromium import DESKTOP, PHONE, chromium, open_context, show, sign_in
from tests.browser.traffic import flow, poison
from tests.servers.pipeline import RunningPipeline, running_pipeline

EVENTS_PER_SECOND = 300
WARM_UP_SECONDS = 150
SHOOTING_SECONDS = 60

PICTURES = [
    ("overview", "overview", DESKTOP, False),
    ("overview-dark", "overview", DESKTOP, True),
    ("overview-phone", "overview", PHONE, True),
    ("verification", "verification", DESKTOP, False),
    ("security", "security", DESKTOP, True),
    ("users", "users", DESKTOP, False),
    ("refused", "refused", DESKTOP, False),
    ("dead-letters", "dead-letters", DESKTOP, False),
    ("events", "events", DESKTOP, False),
    ("refused", "refused", DESKTOP, False),
    ("pipeline", "pipeline", DESKTOP, True),
]


def take(running: RunningPipeline, directory: Path) -> None:
    """Take every picture of a pipeline that runs."""
    with chromium() as browser:
        for name, page_name, size, dark in PICTURES:
            with open_context(browser, size=size, dark=dark) as context:
                page = context.new_page()
                sign_in(page, running.dashboard_url, running.token)
                show(page, running.dashboard_url, page_name)
                # Plots draw with the next point of the stream.
                page.wait_for_timeout(2500)
                page.screenshot(path=directory / f"{name}.png")


def main() -> None:
    """Run a pipeline with traffic and take the pictures."""
    directory = Path(sys.argv[1])
    directory.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as place, running_pipeline(Path(place)) as running:
        seconds = WARM_UP_SECONDS + SHOOTING_SECONDS
        traffic = threading.Thread(
            target=lambda: asyncio.run(flow(running.url, events_per_second=EVENTS_PER_SECOND, seconds=seconds))
        )
        traffic.start()
        traffic.join(WARM_UP_SECONDS)
        asyncio.run(poison(running, tenants=("contoso", "fabrikam")))
        take(running, directory)
        traffic.join()


if __name__ == "__main__":
    main()
