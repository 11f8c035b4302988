"""What a pipeline makes in its account is what its resource says, read back with the official SDK."""

from __future__ import annotations

import asyncio
import uuid
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import msgspec
import pytest
from azure.cosmos.aio import CosmosClient

from cloudscale.pipeline import Store, Throughput
from cloudscale.store.containers import FOREVER, ContainerNames
from cloudscale.store.events import EventStore

if TYPE_CHECKING:
    from tests.servers.cosmos import CosmosServer

    from cloudscale.settings import Settings

AUTOSCALE_MAX = 7000


@pytest.mark.parametrize(("time_to_live", "seconds"), [("36h", 36 * 3600), ("0s", FOREVER)])
async def test_containers_are_made_with_their_time_to_live_and_autoscale(
    cosmos: CosmosServer, settings: Settings, time_to_live: str, seconds: int
) -> None:
    spec = Store(
        database=f"d{uuid.uuid4().hex[:12]}",
        time_to_live=time_to_live,
        throughput=Throughput(autoscale_max=AUTOSCALE_MAX),
    )
    async with EventStore(spec, settings) as store:
        await store.ensure(followers=True, outlets=True)
    names = ContainerNames.of(spec)
    lives: dict[str, int] = {}
    async with CosmosClient(cosmos.endpoint, cosmos.account_key) as client:
        database = client.get_database_client(spec.database)
        for name in msgspec.structs.astuple(names):
            container = database.get_container_client(name)
            lives[name] = (await container.read())["defaultTtl"]
            throughput = await container.get_throughput()
            assert throughput.auto_scale_max_throughput == AUTOSCALE_MAX
    forever = dict.fromkeys((names.profiles, names.leases, names.followers, names.outlets), FOREVER)
    assert lives == {names.events: seconds, names.alerts: seconds, **forever}


async def test_two_that_make_the_containers_at_once_do_not_disturb_each_other(settings: Settings) -> None:
    spec = Store(database=f"d{uuid.uuid4().hex[:12]}")
    async with AsyncExitStack() as exits:
        stores = [await exits.enter_async_context(EventStore(spec, settings)) for _ in range(6)]
        await asyncio.gather(*(store.ensure(followers=True, outlets=True) for store in stores))


async def test_the_containers_of_followers_and_outlets_are_made_only_when_something_follows(
    cosmos: CosmosServer, settings: Settings
) -> None:
    spec = Store(database=f"d{uuid.uuid4().hex[:12]}")
    async with EventStore(spec, settings) as store:
        await store.ensure()
    async with CosmosClient(cosmos.endpoint, cosmos.account_key) as client:
        made = {each["id"] async for each in client.get_database_client(spec.database).list_containers()}
    names = ContainerNames.of(spec)
    assert made == {*msgspec.structs.astuple(names)} - {names.followers, names.outlets}
