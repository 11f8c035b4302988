"""Devices for the tests of pages: three thermostats a tenant, of which two have sent, and others that have not."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from cloudscale.access.administration import Administration
from cloudscale.access.container import open_access
from cloudscale.access.shared_cache import SharedCache
from cloudscale.access.sightings import DeviceName, Sighting, Sightings
from cloudscale.cache.connection import open_redis
from cloudscale.cache.keys import keys_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.servers.pipeline import RunningPipeline

DEVICES = 55
"""Of each tenant."""
TWO_HOURS_MILLISECONDS = 2 * 3600 * 1000


async def register_devices(running: RunningPipeline, *, tenants: Sequence[str]) -> None:
    """Register devices; the clock of ``thermostat-1`` is right, that of ``thermostat-2`` two hours behind."""
    settings, keys = running.instance.settings, keys_of(running.instance.pipeline)
    async with (
        open_redis(settings.redis_url) as redis,
        open_access(running.instance.pipeline.spec.store, settings) as container,
    ):
        administration = Administration(container, SharedCache(redis, keys=keys))
        sightings = Sightings(redis, keys=keys)
        at = round(time.time() * 1000)
        for tenant in tenants:
            await administration.create_tenant(tenant)
            for number in range(1, 4):
                await administration.create_device(
                    tenant, f"thermostat-{number}", type="thermostat", model="T", metadata={"floor": str(number)}
                )
            for number in range(DEVICES - 3):
                await administration.create_device(tenant, f"door-{number}", type="door")
            differences = {"thermostat-1": 20, "thermostat-2": TWO_HOURS_MILLISECONDS}
            await sightings.add(
                [(DeviceName(tenant, name), Sighting(at, at, each)) for name, each in differences.items()]
            )
