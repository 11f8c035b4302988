"""One emulator for all tests of a session, and a database with a container for each test."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from azure.cosmos import PartitionKey
from azure.cosmos.aio import CosmosClient
from tests.servers.cosmos import CosmosServer, cosmos_server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from azure.cosmos.aio import ContainerProxy, DatabaseProxy


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CosmosServer]:
    """An emulator with one partition key range, as `cloudscale run` starts it."""
    with cosmos_server(tmp_path_factory.mktemp("cosmos")) as running:
        yield running


@pytest.fixture(scope="session")
def ranged_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CosmosServer]:
    """An emulator with four partition key ranges."""
    with cosmos_server(tmp_path_factory.mktemp("cosmos-ranges"), partition_ranges=4) as running:
        yield running


@pytest.fixture
async def client(server: CosmosServer) -> AsyncIterator[CosmosClient]:
    """The real SDK's client."""
    async with CosmosClient(server.endpoint, server.account_key) as connected:
        yield connected


@pytest.fixture
async def database(client: CosmosClient) -> DatabaseProxy:
    """A database of the test's own."""
    return await client.create_database(f"db-{uuid4()}")


@pytest.fixture
async def container(database: DatabaseProxy) -> ContainerProxy:
    """A container of the test's own, partitioned by /pk."""
    return await database.create_container("items", PartitionKey("/pk"))
