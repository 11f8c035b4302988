"""One broker and queues of their own for tests of receivers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.queue.line import Line
from tests.servers.servicebus import servicebus_server

from cloudscale.pipeline import Queue

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from tests.servers.servicebus import ServiceBusServer


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceBusServer]:
    with servicebus_server(tmp_path_factory.mktemp("broker")) as server:
        yield server


@pytest.fixture
async def line(broker: ServiceBusServer, request: pytest.FixtureRequest) -> AsyncIterator[Line]:
    name = f"q{abs(hash(request.node.name)) % 10**12}"
    async with Line(broker, Queue(name=name, lock_duration="5s", max_delivery_count=2)) as made:
        yield made
