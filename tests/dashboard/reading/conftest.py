from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import pytest
from tests.dashboard.reading.known_callers import KnownCallers
from tests.servers.reading import reading_client
from tests.servers.redis import RedisServer, redis_server

from cloudscale.pipeline import EventPipeline, load
from cloudscale.settings import Settings
from cloudscale.store.events import EventStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    import aiohttp
    from tests.servers.cosmos import CosmosServer


@pytest.fixture(scope="session")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with redis_server(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
def settings(cosmos: CosmosServer, redis: RedisServer) -> Settings:
    return Settings(
        pipeline_file="", redis_url=redis.url, cosmos_connection_string=cosmos.connection_string, host="127.0.0.1"
    )


@pytest.fixture
def resource() -> EventPipeline:
    """A pipeline with a store of its own."""
    name = f"d{uuid.uuid4().hex[:12]}"
    spec = {"store": {"database": name}}
    return load(
        {"apiVersion": "cloudscale.io/v1alpha1", "kind": "EventPipeline", "metadata": {"name": name}, "spec": spec}
    )


@pytest.fixture
async def store(resource: EventPipeline, settings: Settings) -> AsyncIterator[EventStore]:
    async with EventStore(resource.spec.store, settings) as opened:
        await opened.ensure()
        yield opened


@pytest.fixture
async def client(
    resource: EventPipeline,
    settings: Settings,
    store: EventStore,
) -> AsyncIterator[aiohttp.ClientSession]:
    """A client of the dashboard that reads ``store``."""
    async with reading_client(resource, settings, callers=KnownCallers()) as session:
        yield session
