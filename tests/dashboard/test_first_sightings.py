"""What is written down of devices that send for the first time."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from tests.servers.cosmos import CosmosServer, cosmos_server

from cloudscale.access.administration import Administration
from cloudscale.access.container import AccessContainer, open_access
from cloudscale.access.records import Device
from cloudscale.access.shared_cache import SharedCache
from cloudscale.access.sightings import DeviceName, Sighting, Sightings
from cloudscale.cache.keys import Keys
from cloudscale.dashboard.first_sightings import FirstSightings
from cloudscale.errors import BackendUnavailableError
from cloudscale.pipeline import Store
from cloudscale.settings import Settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from redis.asyncio import Redis

KEYS = Keys(namespace="default", name="test")
THERMOSTAT = DeviceName("acme", "thermostat-7")
NOON = datetime(2026, 11, 28, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def cosmos(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CosmosServer]:
    with cosmos_server(tmp_path_factory.mktemp("cosmos")) as server:
        yield server


@pytest.fixture
async def container(cosmos: CosmosServer, redis: Redis) -> AsyncIterator[AccessContainer]:
    """A directory with one device."""
    settings = Settings(pipeline_file="", redis_url="", cosmos_connection_string=cosmos.connection_string)
    async with open_access(Store(container=f"c{uuid.uuid4().hex[:12]}"), settings) as opened:
        administration = Administration(opened, SharedCache(redis, keys=KEYS))
        await administration.create_tenant("acme")
        await administration.create_device("acme", "thermostat-7", type="thermostat")
        yield opened


@pytest.fixture
def sightings(redis: Redis) -> Sightings:
    return Sightings(redis, keys=KEYS)


def at(moment: datetime) -> Sighting:
    milliseconds = round(moment.timestamp() * 1000)
    return Sighting(milliseconds, milliseconds, None)


def writing(container: AccessContainer, sightings: Sightings) -> FirstSightings:
    async def directory() -> AccessContainer:
        return container

    return FirstSightings(directory, sightings)


async def written(container: AccessContainer) -> Device:
    return await container.read(Device, "thermostat-7", tenant_id="acme")


async def test_the_first_time_outlasts_redis(container: AccessContainer, sightings: Sightings, redis: Redis) -> None:
    first_sightings = writing(container, sightings)
    await sightings.add([(THERMOSTAT, at(NOON))])
    await first_sightings.write()
    await redis.flushdb()
    await sightings.add([(THERMOSTAT, at(NOON + timedelta(days=1)))])
    await first_sightings.write()

    device = await written(container)

    assert (device.first_seen_at, device.type) == (NOON, "thermostat")
    assert await sightings.new(limit=1) == {}


async def test_an_unregistered_device_holds_up_no_other(container: AccessContainer, sightings: Sightings) -> None:
    await sightings.add([(DeviceName("acme", "nobody"), at(NOON - timedelta(hours=1))), (THERMOSTAT, at(NOON))])

    await writing(container, sightings).write()

    assert (await written(container)).first_seen_at == NOON
    assert await sightings.new(limit=1) == {}


async def test_nothing_is_lost_while_the_store_is_away(container: AccessContainer, sightings: Sightings) -> None:
    async def away() -> AccessContainer:
        raise BackendUnavailableError("the store cannot be reached")

    await sightings.add([(THERMOSTAT, at(NOON))])
    with pytest.raises(BackendUnavailableError):
        await FirstSightings(away, sightings).write()

    await writing(container, sightings).write()

    assert (await written(container)).first_seen_at == NOON
