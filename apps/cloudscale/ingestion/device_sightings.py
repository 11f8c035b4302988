"""Notices which devices send: gathered in the memory of a process, and written for all devices together.

A busy process notices thousands of devices in the time between two writes, so a note costs a look into a table, and
clocks are compared once a device and write, for the last of its events that says when it happened.
"""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING, Final

import structlog
from redis.exceptions import RedisError

from cloudscale.access.sightings import DEVICES_A_CALL, DeviceName, Sighting

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cloudscale.access.caller import Caller
    from cloudscale.access.sightings import Sightings
    from cloudscale.events.enrichment import Enriched

log = structlog.get_logger(__name__)

WRITE_SECONDS: Final = 5.0
MOST_DEVICES: Final = 50_000
"""Noticed between two writes, some 400 bytes each; one more is noticed with its first event after the next write."""

MILLISECOND: Final = timedelta(milliseconds=1)
EPOCH: Final = datetime.fromisoformat("1970-01-01T00:00:00Z")


class _Noticed:
    """The times of the events of a device's key, as the events have them."""

    __slots__ = ("created_at", "device", "first", "last", "received_at")

    def __init__(self, device: DeviceName, received_at: str) -> None:
        self.device = device
        self.first = received_at
        self.last = received_at
        self.created_at: str | None = None
        self.received_at = received_at


class DeviceSightings:
    """The devices that one process has noticed since they were last written."""

    def __init__(self) -> None:
        # By the ids of their keys, which are there ready to be looked up by.
        self._noticed: dict[str, _Noticed] = {}
        self._redis_answers = True

    def note(self, caller: Caller, event: Enriched) -> None:
        """Notice an event that was accepted; nothing happens unless a device's own key has sent it."""
        if caller.device_id is None:
            return
        document = event.document
        received_at = document["receivedAt"]
        noticed = self._noticed.get(caller.name)
        if noticed is None:
            if len(self._noticed) >= MOST_DEVICES:
                return
            device = DeviceName(caller.tenant_id, caller.device_id)
            noticed = self._noticed[caller.name] = _Noticed(device, received_at)
        noticed.last = received_at
        # An event that does not say when it happened has the time of its receipt.
        if (created_at := document["createdAt"]) != received_at:
            noticed.created_at = created_at
            noticed.received_at = received_at

    async def write(self, sightings: Sightings) -> None:
        """Tell Redis what was noticed. What it does not take waits for the next call, within the same bound."""
        noticed, self._noticed = self._noticed, {}
        try:
            while noticed:
                some = list(islice(noticed.items(), DEVICES_A_CALL))
                await sightings.add([(each.device, _sighting(each)) for _, each in some])
                for name, _ in some:
                    del noticed[name]
        except (RedisError, OSError, TimeoutError) as error:
            if self._redis_answers:
                log.warning("it is not written which devices have sent: Redis is away", error=str(error))
            self._redis_answers = False
        else:
            self._redis_answers = True
        finally:
            # Nothing, unless a call failed or was cancelled.
            self._put_back(noticed)

    def _put_back(self, waiting: Mapping[str, _Noticed]) -> None:
        for name, each in waiting.items():
            newer = self._noticed.get(name)
            if newer is not None:
                newer.first = each.first
                if newer.created_at is None:
                    newer.created_at, newer.received_at = each.created_at, each.received_at
            elif len(self._noticed) < MOST_DEVICES:
                self._noticed[name] = each

    async def write_now_and_then(self, sightings: Sightings) -> None:
        """Write until cancelled; what waits then is left to a last :meth:`write`."""
        while True:
            await asyncio.sleep(WRITE_SECONDS)
            await self.write(sightings)


def _sighting(noticed: _Noticed) -> Sighting:
    difference = None
    if noticed.created_at is not None:
        difference = _milliseconds(noticed.received_at) - _milliseconds(noticed.created_at)
    return Sighting(_milliseconds(noticed.first), _milliseconds(noticed.last), difference)


def _milliseconds(text: str) -> int:
    return (datetime.fromisoformat(text) - EPOCH) // MILLISECOND
