"""Devices as far as somebody may see them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from cloudscale.access import device_view as module
from cloudscale.access.device_view import DeviceFilter, DeviceView, KnownDevice
from cloudscale.access.records import Device
from cloudscale.access.sightings import DeviceName, Seen, Sighting, Sightings
from cloudscale.cache.connection import NO_RETRIES, open_redis
from cloudscale.cache.keys import Keys
from cloudscale.errors import BackendUnavailableError
from cloudscale.store.tenant_view import NotVisibleError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from redis.asyncio import Redis

    from cloudscale.access.administration import Administration
    from cloudscale.access.container import AccessContainer

KEYS = Keys(namespace="default", name="test")
TENANTS = ("a", "a-b", "acme", "contoso")
"""In the order of positions ``a-b:…`` comes before ``a:…``."""
NOON = datetime(2026, 11, 28, 12, tzinfo=UTC)
EVERYTHING = DeviceFilter()

QUERIES: dict[str, Callable[[DeviceView, str], Awaitable[object]]] = {
    "find_devices": lambda view, tenant: view.find_devices(EVERYTHING, tenant=tenant, limit=10),
    "find_device": lambda view, tenant: view.find_device(tenant, "d1"),
    "find_key_ids": lambda view, tenant: view.find_key_ids(tenant, "d1"),
}
"""Every question that a view answers."""


@pytest.fixture
def sightings(redis: Redis) -> Sightings:
    return Sightings(redis, keys=KEYS)


@pytest.fixture
async def filled(administration: Administration, container: AccessContainer) -> AccessContainer:
    """Three devices of each tenant, of the same names."""
    for tenant in TENANTS:
        await administration.create_tenant(tenant)
        for number in range(3):
            kind = "thermostat" if number else "door"
            await administration.create_device(tenant, f"d{number}", type=kind, model=f"m{number}")
    return container


def named(devices: list[KnownDevice]) -> list[str]:
    return [f"{each.device.tenant_id}/{each.device.id}" for each in devices]


async def all_pages(view: DeviceView, which: DeviceFilter = EVERYTHING, *, limit: int) -> list[str]:
    found: list[str] = []
    after: str | None = ""
    while after is not None:
        devices, after = await view.find_devices(which, limit=limit, after=after)
        assert len(devices) <= limit
        found += named(devices)
    return found


def test_every_question_that_a_view_answers_has_a_case() -> None:
    assert set(QUERIES) == {name for name in vars(DeviceView) if not name.startswith("_")}


@pytest.mark.parametrize("name", QUERIES)
async def test_no_question_is_answered_about_a_tenant_that_is_not_seen(
    container: AccessContainer, sightings: Sightings, name: str
) -> None:
    with pytest.raises(NotVisibleError):
        await QUERIES[name](DeviceView(container, sightings, frozenset({"acme"})), "contoso")


@pytest.mark.parametrize("tenants", [None, frozenset(TENANTS), frozenset({"contoso", "a"}), frozenset()])
async def test_pages_have_each_device_once_and_none_of_others(
    filled: AccessContainer, sightings: Sightings, tenants: frozenset[str] | None
) -> None:
    view = DeviceView(filled, sightings, tenants)
    expected = [f"{tenant}/d{n}" for tenant in TENANTS if tenants is None or tenant in tenants for n in range(3)]

    for limit in (1, 2, 100):
        assert sorted(await all_pages(view, limit=limit)) == sorted(expected)


@pytest.mark.parametrize(
    ("which", "expected"),
    [
        (DeviceFilter(type="door"), ["acme/d0"]),
        (DeviceFilter(model="m2"), ["acme/d2"]),
        (DeviceFilter(device_id="d1"), ["acme/d1"]),
        (DeviceFilter(type="door", model="m2"), []),
        (DeviceFilter(seen_since=NOON), ["acme/d1"]),
        (DeviceFilter(seen_since=NOON + timedelta(milliseconds=1)), []),
        (DeviceFilter(silent_since=NOON), ["acme/d0", "acme/d2"]),
        (DeviceFilter(silent_since=NOON + timedelta(milliseconds=1)), ["acme/d0", "acme/d1", "acme/d2"]),
    ],
)
async def test_devices_are_found_by_what_they_are_and_when_they_sent(
    filled: AccessContainer, sightings: Sightings, which: DeviceFilter, expected: list[str]
) -> None:
    at = round(NOON.timestamp() * 1000)
    await sightings.add([(DeviceName("acme", "d1"), Sighting(at, at, None))])
    await sightings.add([(DeviceName("acme", "d2"), Sighting(at - 9000, at - 9000, None))])

    assert await all_pages(DeviceView(filled, sightings, frozenset({"acme"})), which, limit=2) == expected


async def test_a_page_is_looked_for_in_so_many_devices_at_the_most(
    filled: AccessContainer, sightings: Sightings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LOOKED_THROUGH", 4)
    view = DeviceView(filled, sightings, None)
    which = DeviceFilter(seen_since=NOON)

    page = await view.find_devices(which, limit=1)

    assert page.devices == []
    assert page.following is not None
    assert await all_pages(view, which, limit=1) == []


async def test_the_keys_of_a_device_are_its_own(filled: AccessContainer, administration: Administration) -> None:
    made = await administration.create_device("acme", "d9")
    rotated = await administration.rotate_key("acme", made.record.id, overlap=timedelta(hours=1))

    assert sorted(await filled.key_ids_of_device("acme", "d9")) == sorted([made.record.id, rotated.record.id])


async def test_what_is_not_known_while_redis_is_away_is_not_called_never(filled: AccessContainer) -> None:
    away = open_redis("redis://127.0.0.1:9/0", retry=NO_RETRIES)

    with pytest.raises(BackendUnavailableError, match="Redis"):
        await DeviceView(filled, Sightings(away, keys=KEYS), None).find_devices(EVERYTHING, limit=1)

    await away.aclose()


def test_the_first_time_is_the_earlier_of_what_is_written_down_and_what_redis_knows() -> None:
    def known(written: datetime | None, seen: datetime | None) -> datetime | None:
        device = Device(id="d", tenant_id="acme", created_at=NOON, first_seen_at=written)
        return KnownDevice(device, Seen(first=seen, last=NOON) if seen else None).first_seen

    before = NOON - timedelta(days=100)
    assert known(None, None) is None
    assert known(None, NOON) == NOON
    assert known(before, NOON) == before
    assert known(before, None) == before
