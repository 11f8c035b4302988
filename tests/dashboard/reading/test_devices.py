"""Devices and the devices of events, asked over HTTP."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from tests.dashboard.reading.test_routes import FABRIKAM, ask, of_contoso
from tests.store.creating import create_all

from cloudscale.access.administration import Administration
from cloudscale.access.container import open_access
from cloudscale.access.shared_cache import SharedCache
from cloudscale.access.sightings import DeviceName, Sighting, Sightings
from cloudscale.cache.connection import open_redis
from cloudscale.cache.keys import keys_of

if TYPE_CHECKING:
    import aiohttp

    from cloudscale.pipeline import EventPipeline
    from cloudscale.settings import Settings
    from cloudscale.store.events import EventStore

NOON = datetime(2026, 11, 28, 12, tzinfo=UTC)


@pytest.fixture
async def key_id(resource: EventPipeline, settings: Settings, client: aiohttp.ClientSession) -> str:
    """The key of contoso's thermostat, which has sent; contoso and fabrikam have others that have not."""
    keys = keys_of(resource)
    async with open_redis(settings.redis_url) as redis, open_access(resource.spec.store, settings) as container:
        administration = Administration(container, SharedCache(redis, keys=keys))
        for tenant in ("contoso", "fabrikam"):
            await administration.create_tenant(tenant)
        made = await administration.create_device(
            "contoso", "thermostat-7", type="thermostat", model="T", metadata={"floor": "3"}
        )
        await administration.create_device("contoso", "door-1", type="door")
        await administration.create_device("fabrikam", "door-2", type="door")
        at = round(NOON.timestamp() * 1000)
        await Sightings(redis, keys=keys).add(
            [(DeviceName("contoso", "thermostat-7"), Sighting(at, at + 500, -90_000))]
        )
    return made.record.id


async def ids(client: aiohttp.ClientSession, **parameters: Any) -> list[str]:
    status, content, _ = await ask(client, "/api/v1/devices", **parameters)
    assert status == 200, content
    return [each["id"] for each in content["devices"]]


async def test_a_device_is_shown_with_its_keys_and_its_clock(client: aiohttp.ClientSession, key_id: str) -> None:
    status, content, _ = await ask(client, "/api/v1/devices/thermostat-7")

    assert status == 200
    assert content.pop("createdAt")
    assert content == {
        "id": "thermostat-7",
        "tenantId": "contoso",
        "type": "thermostat",
        "model": "T",
        "metadata": {"floor": "3"},
        "firstSeen": "2026-11-28T12:00:00Z",
        "lastSeen": "2026-11-28T12:00:00.500000Z",
        "skewSeconds": -90,
        "differenceSeconds": -90,
        "keyIds": [key_id],
    }


@pytest.mark.usefixtures("key_id")
async def test_devices_are_found_by_each_parameter(client: aiohttp.ClientSession) -> None:
    assert await ids(client) == ["door-1", "thermostat-7"]
    assert await ids(client, type="door") == ["door-1"]
    assert await ids(client, model="T") == ["thermostat-7"]
    assert await ids(client, seenAfter="2026-11-28T12:00:00Z") == ["thermostat-7"]
    assert await ids(client, seenBefore="2026-11-28T12:00:00Z") == ["door-1"]


@pytest.mark.usefixtures("key_id")
async def test_a_cursor_goes_on_and_belongs_to_its_tenant_and_question(client: aiohttp.ClientSession) -> None:
    _, first, _ = await ask(client, "/api/v1/devices", limit=1)
    _, second, _ = await ask(client, "/api/v1/devices", limit=1, cursor=first["next"])

    assert [each["id"] for each in first["devices"] + second["devices"]] == ["door-1", "thermostat-7"]
    assert second["next"] is None
    assert (await ask(client, "/api/v1/devices", FABRIKAM, cursor=first["next"]))[0] == 400
    assert (await ask(client, "/api/v1/devices", type="door", cursor=first["next"]))[0] == 400
    assert (await ask(client, "/api/v1/devices", cursor="x"))[0] == 400


@pytest.mark.usefixtures("key_id")
@pytest.mark.parametrize(
    "parameters",
    [
        {"type": ""},
        {"seenAfter": "noon"},
        {"limit": "0"},
        {"floor": "3"},
        {"seenAfter": "2026-01-02T00:00:00Z", "seenBefore": "2026-01-01T00:00:00Z"},
    ],
)
async def test_wrong_parameters_are_named(client: aiohttp.ClientSession, parameters: dict[str, str]) -> None:
    status, content, _ = await ask(client, "/api/v1/devices", **parameters)

    assert status == 400
    assert content["errors"][0]["parameter"] in parameters


@pytest.mark.usefixtures("key_id")
async def test_another_tenant_s_device_is_not_there(client: aiohttp.ClientSession) -> None:
    assert (await ask(client, "/api/v1/devices/thermostat-7", FABRIKAM))[0] == 404
    assert (await ask(client, "/api/v1/devices/door-2"))[0] == 404
    assert (await ask(client, "/api/v1/devices/no%3Fid"))[0] == 404


@pytest.mark.usefixtures("key_id")
async def test_an_event_is_joined_with_its_device_where_that_is_asked_for(
    client: aiohttp.ClientSession, store: EventStore
) -> None:
    await create_all(
        store,
        [
            of_contoso("e1", deviceId="thermostat-7"),
            of_contoso("e2", deviceId="door-2"),
            of_contoso("e3"),
            of_contoso("e4", deviceId={"a": 1}),
        ],
    )

    _, plain, _ = await ask(client, "/api/v1/events/e1")
    _, joined, _ = await ask(client, "/api/v1/events/e1", include="device")

    assert plain["eventId"] == "e1"
    assert joined["event"] == plain
    assert joined["device"]["metadata"] == {"floor": "3"}
    for unknown in ("e2", "e3", "e4"):
        status, content, _ = await ask(client, f"/api/v1/events/{unknown}", include="device")
        assert (status, content["device"]) == (200, None), "a device of another tenant, or none"
    assert (await ask(client, "/api/v1/events/e1", include="user"))[0] == 400


@pytest.mark.usefixtures("key_id")
async def test_events_are_found_by_their_device(client: aiohttp.ClientSession, store: EventStore) -> None:
    await create_all(store, [of_contoso("e1", deviceId="thermostat-7"), of_contoso("e2", deviceId="door-1")])

    _, content, _ = await ask(client, "/api/v1/events", device="thermostat-7")

    assert [each["eventId"] for each in content["events"]] == ["e1"]
