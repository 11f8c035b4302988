"""Takes the pictures of the dashboard that README shows: ``python -m tests.browser.screenshots docs/screenshots``."""

from __future__ import annotations

import asyncio
import sys
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from tests.browser.chromium import DESKTOP, PHONE, chromium, open_context, show, sign_in
from tests.browser.devices import register_devices
from tests.browser.traffic import TENANTS, flowing, poison
from tests.servers.pipeline import RunningPipeline, running_pipeline

from cloudscale.access.administration import Administration
from cloudscale.access.container import open_access
from cloudscale.access.new_keys import KeyRights
from cloudscale.access.scopes import Scope
from cloudscale.access.shared_cache import SharedCache
from cloudscale.cache.connection import open_redis
from cloudscale.cache.keys import keys_of

if TYPE_CHECKING:
    from collections.abc import Sequence

EVENTS_PER_SECOND = 100
"""Few, so that a machine that has other work as well shows a pipeline at ease."""
WARM_UP_SECONDS = 150
PICTURE_MILLISECONDS = 120_000
WITH_DEVICES = "northwind"
SPEC = {"ingestion": {"trustedProxies": ["127.0.0.0/8"]}}
"""The requests come as from behind a proxy, from many addresses."""

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
    ("events-phone", "events", PHONE, False),
    ("access", "access?tenant=contoso", DESKTOP, False),
    ("devices", "devices?tenant=northwind&type=thermostat", DESKTOP, False),
    ("pipeline", "pipeline", DESKTOP, True),
]


async def create_keys(running: RunningPipeline, *, tenants: Sequence[str]) -> None:
    """Tenants, each with keys of the kinds that a shop has: of its servers, of its pages, of who reads."""
    settings, keys = running.instance.settings, keys_of(running.instance.pipeline)
    async with (
        open_redis(settings.redis_url) as redis,
        open_access(running.instance.pipeline.spec.store, settings) as container,
    ):
        administration = Administration(container, SharedCache(redis, keys=keys))
        for tenant in tenants:
            await administration.create_tenant(tenant)
            for name, rights in {
                "checkout servers": KeyRights(is_server=True),
                "web pages": KeyRights(origins=frozenset({f"https://{tenant}.example"})),
                "monthly report": KeyRights(scopes=frozenset({Scope.READ_EVENTS})),
            }.items():
                await administration.create_key(tenant, name, rights=rights)


async def send(running: RunningPipeline, is_over: threading.Event) -> None:
    """Traffic until it is over."""
    async with flowing(running.url, events_per_second=EVENTS_PER_SECOND):
        await asyncio.to_thread(is_over.wait)


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
                page.screenshot(path=directory / f"{name}.png", timeout=PICTURE_MILLISECONDS)


def main() -> None:
    """Run a pipeline with traffic and take the pictures."""
    directory = Path(sys.argv[1])
    directory.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as place, running_pipeline(Path(place), spec=SPEC) as running:
        asyncio.run(create_keys(running, tenants=[tenant for tenant in TENANTS if tenant != WITH_DEVICES]))
        asyncio.run(register_devices(running, tenants=[WITH_DEVICES]))
        is_over = threading.Event()
        traffic = threading.Thread(target=lambda: asyncio.run(send(running, is_over)))
        traffic.start()
        try:
            traffic.join(WARM_UP_SECONDS)
            asyncio.run(poison(running, tenants=("contoso", "fabrikam")))
            take(running, directory)
        finally:
            is_over.set()
            traffic.join()


if __name__ == "__main__":
    main()
