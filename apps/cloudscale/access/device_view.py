"""Devices as far as somebody may see them: what the directory says of each, and when and how it was seen.

As with :class:`cloudscale.store.tenant_view.TenantView`, a view adds the tenants to every question itself, and there is
no way from it to what is behind.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec
from redis.exceptions import RedisError

from cloudscale.access.container import NotFoundError, position_of
from cloudscale.access.records import Device
from cloudscale.access.sightings import DeviceName, Seen
from cloudscale.errors import BackendUnavailableError
from cloudscale.store.tenant_view import asked_tenants

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cloudscale.access.container import AccessContainer
    from cloudscale.access.sightings import Sightings

LOOKED_THROUGH: Final = 1000
"""Devices that one page is looked for in, where the store cannot tell which of them match."""


class DeviceFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which devices to find; a field that is None does not restrict."""

    device_id: str | None = None
    type: str | None = None
    model: str | None = None
    seen_since: datetime | None = None
    """Those that have sent at this time or later."""
    silent_since: datetime | None = None
    """Those that have not sent at this time or later, and those that never have."""

    def matches(self, seen: Seen | None) -> bool:
        """Whether a device that was seen so is one of those."""
        if self.seen_since is not None and (seen is None or seen.last < self.seen_since):
            return False
        return self.silent_since is None or seen is None or seen.last < self.silent_since


class KnownDevice(NamedTuple):
    """A device, and what is known of it from its events: None if it has not sent, or not for a long time."""

    device: Device
    seen: Seen | None

    @property
    def first_seen(self) -> datetime | None:
        """When it first sent, as far back as anybody knows."""
        known = [each for each in (self.device.first_seen_at, self.seen and self.seen.first) if each]
        return min(known, default=None)


class DevicePage(NamedTuple):
    """Devices in the order of tenants and ids; ``following`` is the position to go on behind, None at the end."""

    devices: list[KnownDevice]
    following: str | None


class DeviceView:
    """Devices of some tenants.

    Args:
        container: the directory.
        sightings: when its devices sent.
        tenants: whose devices are seen; None for everybody's.

    Raises:
        NotVisibleError: of each method, when a tenant is asked for that is not one of those that are seen.
        BackendError: of each method, when the directory or Redis cannot be asked.
    """

    def __init__(self, container: AccessContainer, sightings: Sightings, tenants: frozenset[str] | None) -> None:
        self._container = container
        self._sightings = sightings
        self._tenants = tenants

    def _asked(self, tenant: str | None) -> list[str | None]:
        # In the order of positions, which have a colon behind the tenant.
        return sorted(asked_tenants(tenant, self._tenants), key=lambda each: f"{each}:")

    async def find_devices(
        self, which: DeviceFilter, *, tenant: str | None = None, limit: int, after: str = ""
    ) -> DevicePage:
        """At most ``limit`` devices that match, of one tenant or of all that are seen.

        Of a filter by time a page may have fewer, or none, though others follow.
        """
        by_time = which.seen_since is not None or which.silent_since is not None
        at_once = max(LOOKED_THROUGH // 4, limit + 1) if by_time else limit + 1
        found: list[KnownDevice] = []
        looked_through = 0
        while True:
            devices = await self._devices(which, tenant, limit=at_once, after=after)
            for known in await self._with_sightings(devices):
                if which.matches(known.seen):
                    if len(found) == limit:
                        return DevicePage(found, position_of(found[-1].device))
                    found.append(known)
            if len(devices) < at_once:
                return DevicePage(found, None)
            after = position_of(devices[-1])
            looked_through += len(devices)
            if looked_through >= LOOKED_THROUGH:
                return DevicePage(found, after)

    async def _devices(self, which: DeviceFilter, tenant: str | None, *, limit: int, after: str) -> list[Device]:
        fields = {"recordId": which.device_id, "type": which.type, "model": which.model}
        found: list[Device] = []
        for each in self._asked(tenant):
            if wanted := limit - len(found):
                found += await self._container.page(Device, tenant_id=each, after=after, limit=wanted, fields=fields)
        return found

    async def find_device(self, tenant: str, device_id: str) -> KnownDevice | None:
        """One device; None if the tenant has none with this id."""
        self._asked(tenant)
        try:
            device = await self._container.read(Device, device_id, tenant_id=tenant)
        except NotFoundError:
            return None
        (known,) = await self._with_sightings([device])
        return known

    async def find_key_ids(self, tenant: str, device_id: str) -> list[str]:
        """The ids of the keys that a device has or had."""
        self._asked(tenant)
        return await self._container.key_ids_of_device(tenant, device_id)

    async def _with_sightings(self, devices: Sequence[Device]) -> list[KnownDevice]:
        names = [DeviceName(device.tenant_id, device.id) for device in devices]
        try:
            seen = await self._sightings.find(names) if names else {}
        except (RedisError, OSError, TimeoutError) as error:
            raise BackendUnavailableError(
                f"when devices have sent is not known: Redis does not answer: {error}"
            ) from None
        return [KnownDevice(device, seen.get(name)) for device, name in zip(devices, names, strict=True)]


def described(known: KnownDevice) -> dict[str, Any]:
    """A device as answers and commands show it; times are RFC 3339 in UTC, or null."""
    device, seen = known
    return {
        "id": device.id,
        "tenantId": device.tenant_id,
        "type": device.type,
        "model": device.model,
        "metadata": device.metadata,
        "createdAt": device.created_at,
        "firstSeen": known.first_seen,
        "lastSeen": seen.last if seen else None,
        "skewSeconds": seen.skew_seconds if seen else None,
        "differenceSeconds": seen.difference_seconds if seen else None,
    }
