"""One broker, one cache and one ingestion service for all tests that need no faults."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.ingestion.client import Client
from tests.ingestion.queue_contents import queue_contents
from tests.servers.cosmos import cosmos_server
from tests.servers.ingestion import UNLIMITED, ingestion_server
from tests.servers.redis import redis_server
from tests.servers.servicebus import servicebus_server

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.ingestion.queue_contents import QueueContents
    from tests.servers.cosmos import CosmosServer
    from tests.servers.ingestion import IngestionServer
    from tests.servers.redis import RedisServer
    from tests.servers.servicebus import ServiceBusServer


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceBusServer]:
    with servicebus_server(tmp_path_factory.mktemp("broker")) as server:
        yield server


@pytest.fixture(scope="session")
def queue(broker: ServiceBusServer) -> Iterator[QueueContents]:
    with queue_contents(broker) as contents:
        yield contents


@pytest.fixture(scope="session")
def cache_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """As long-lived as the service that needs it."""
    with redis_server(tmp_path_factory.mktemp("cache")) as server:
        yield server


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CosmosServer]:
    """A store of a file's own, with a directory that has nobody yet."""
    with cosmos_server(tmp_path_factory.mktemp("cosmos")) as server:
        yield server


@pytest.fixture(scope="session")
def server(
    tmp_path_factory: pytest.TempPathFactory, broker: ServiceBusServer, cache_server: RedisServer
) -> Iterator[IngestionServer]:
    schema = {"required": ["orderId"], "properties": {"orderId": {"type": "string"}}}
    spec = {
        "ingestion": {"rateLimits": UNLIMITED},
        "eventTypes": [{"name": "order_shipped", "schema": schema}],
    }
    with ingestion_server(tmp_path_factory.mktemp("ingestion"), broker=broker, cache=cache_server, spec=spec) as server:
        yield server


@pytest.fixture
def client(server: IngestionServer) -> Client:
    return Client(server.port)
