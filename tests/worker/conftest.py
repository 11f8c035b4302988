"""Backends that run as processes for all tests of the worker, and a pipeline of its own on them for each test."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.servers.cosmos import CosmosServer, cosmos_server
from tests.servers.servicebus import ServiceBusServer, servicebus_server
from tests.worker.harness import Backends, Harness

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from tests.servers.redis import RedisServer


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceBusServer]:
    with servicebus_server(tmp_path_factory.mktemp("broker")) as server:
        yield server


@pytest.fixture(scope="session")
def cosmos(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CosmosServer]:
    with cosmos_server(tmp_path_factory.mktemp("cosmos")) as server:
        yield server


@pytest.fixture
async def harness(
    broker: ServiceBusServer, cosmos: CosmosServer, cache_server: RedisServer, tmp_path: Path
) -> AsyncIterator[Harness]:
    async with Harness(Backends(broker, cosmos, cache_server), tmp_path) as opened:
        yield opened
