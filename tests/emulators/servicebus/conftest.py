"""One emulator for the session, a queue of its own for each test."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import pytest
from azure.servicebus.aio import ServiceBusClient
from azure.servicebus.management import ServiceBusAdministrationClient
from tests.servers.servicebus import ServiceBusServer, servicebus_server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceBusServer]:
    with servicebus_server(tmp_path_factory.mktemp("servicebus")) as running:
        yield running


@pytest.fixture(scope="session")
def administration(server: ServiceBusServer) -> Iterator[ServiceBusAdministrationClient]:
    client = ServiceBusAdministrationClient.from_connection_string(
        server.administration_connection_string, connection_verify=str(server.certificate_authority)
    )
    with client:
        yield client


@pytest.fixture
def make_queue(administration: ServiceBusAdministrationClient) -> Callable[..., str]:
    def make(**settings: Any) -> str:
        name = f"queue-{uuid.uuid4().hex}"
        administration.create_queue(name, **settings)
        return name

    return make


@pytest.fixture
def queue(make_queue: Callable[..., str]) -> str:
    return make_queue()


@pytest.fixture
async def client(server: ServiceBusServer) -> AsyncIterator[ServiceBusClient]:
    async with ServiceBusClient.from_connection_string(server.connection_string, retry_total=0) as connected:
        yield connected
