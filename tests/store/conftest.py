from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import pytest
from tests.servers.cosmos import CosmosServer, cosmos_server

from cloudscale.pipeline import Store
from cloudscale.settings import Settings
from cloudscale.store.events import EventStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator


@pytest.fixture(scope="session")
def cosmos(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CosmosServer]:
    with cosmos_server(tmp_path_factory.mktemp("cosmos"), partition_ranges=2) as server:
        yield server


@pytest.fixture
def settings(cosmos: CosmosServer) -> Settings:
    return Settings(pipeline_file="", redis_url="", cosmos_connection_string=cosmos.connection_string)


@pytest.fixture
def spec() -> Store:
    return Store(database=f"d{uuid.uuid4().hex[:12]}", time_to_live="1h")


@pytest.fixture
async def store(spec: Store, settings: Settings) -> AsyncIterator[EventStore]:
    async with EventStore(spec, settings) as opened:
        await opened.ensure()
        yield opened
