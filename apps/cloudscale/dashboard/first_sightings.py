"""Writes down in the directory when devices sent for the first time, since Redis forgets it.

Ingestion notices devices and may only read the directory; the dashboard may write there. What is written is never
later than what stood there, so several dashboards do each other no harm, and nor does a Redis that lost its memory.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import structlog
from msgspec import structs
from redis.exceptions import RedisError

from cloudscale.access.container import NotFoundError
from cloudscale.access.records import Device
from cloudscale.errors import CloudScaleError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from datetime import datetime

    from cloudscale.access.container import AccessContainer
    from cloudscale.access.sightings import DeviceName, Sightings

log = structlog.get_logger(__name__)

WRITE_SECONDS: Final = 20.0
DEVICES_AT_ONCE: Final = 500
"""A fleet that sends for the first time is written down over some minutes, beside what else the store has to do."""


class FirstSightings:
    """Takes what :meth:`Sightings.new` tells, until it is written down. ``directory`` opens the directory."""

    def __init__(self, directory: Callable[[], Awaitable[AccessContainer]], sightings: Sightings) -> None:
        self._directory = directory
        self._sightings = sightings
        self._is_failing = False

    async def write(self) -> None:
        """Write down what is new.

        Raises:
            CloudScaleError, RedisError, OSError, TimeoutError: the store or Redis does not take it; nothing is lost.
        """
        new = await self._sightings.new(limit=DEVICES_AT_ONCE)
        if not new:
            return
        container = await self._directory()
        for name, at in new.items():
            await _write_down(container, name, at)
            await self._sightings.forget_new([name])

    async def write_now_and_then(self) -> None:
        """Write until cancelled."""
        while True:
            await asyncio.sleep(WRITE_SECONDS)
            try:
                await self.write()
            except (CloudScaleError, RedisError, OSError, TimeoutError) as error:
                if not self._is_failing:
                    log.warning("first sightings of devices are not written down yet", error=str(error))
                self._is_failing = True
            else:
                self._is_failing = False


async def _write_down(container: AccessContainer, name: DeviceName, at: datetime) -> None:
    try:
        device = await container.read(Device, name.device_id, tenant_id=name.tenant_id)
        if device.first_seen_at is None or at < device.first_seen_at:

            def note(known: Device) -> Device:
                earliest = at if known.first_seen_at is None else min(at, known.first_seen_at)
                return structs.replace(known, first_seen_at=earliest)

            await container.change(Device, name.device_id, tenant_id=name.tenant_id, change=note)
    except NotFoundError:
        # A key that stands in a file may name a device that nobody has registered.
        log.debug("a device that sent is not registered", tenant=name.tenant_id, device=name.device_id)
