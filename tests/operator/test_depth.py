"""The operator's readings of a queue on the real broker emulator, with the ledger in a real Redis."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.operator.harness import KEY, WAIT, send
from tests.waiting import wait_until

from cloudscale.cache.keys import Keys
from cloudscale.pipeline import Queue
from cloudscale_operator.depth import DepthReaders, Reading, Source

if TYPE_CHECKING:
    from redis.asyncio import Redis
    from tests.servers.redis import RedisServer
    from tests.servers.servicebus import ServiceBusServer

    from cloudscale.ledger.backlog import Backlog

QUEUE = "counted-by-the-operator"
KEYS = Keys(namespace=KEY.namespace, name=KEY.name)


def source(broker: ServiceBusServer, *, redis_url: str) -> Source:
    return Source(
        queue=Queue(name=QUEUE),
        connection_string=(
            f"Endpoint=sb://127.0.0.1:{broker.management_port};SharedAccessKeyName=RootManageSharedAccessKey;"
            f"SharedAccessKey={broker.key};UseDevelopmentEmulator=true"
        ),
        redis_url=redis_url,
        authority=Path(str(broker.certificate_authority)).read_text(),
        interval=timedelta(milliseconds=50),
    )


async def read(source: Source, directory: Path) -> Backlog:
    """The first reading with a message in the queue."""

    def found(reading: Reading | None) -> Backlog | None:
        return reading.backlog if reading and reading.backlog and reading.backlog.messages else None

    async with DepthReaders(lambda _: None, directory=directory) as readers:
        await readers.ensure(KEY, source)

        async def is_there() -> bool:
            return found(readers.latest(KEY)) is not None

        await wait_until(is_there, within=WAIT)
        backlog = found(readers.latest(KEY))
    assert backlog is not None
    return backlog


@pytest.fixture
async def filled(broker: ServiceBusServer, tmp_path: Path) -> ServiceBusServer:
    """The broker, with a queue that the operator has made and that holds one message."""
    async with DepthReaders(lambda _: None, directory=tmp_path) as readers:
        await readers.ensure(KEY, source(broker, redis_url=""))

        async def is_there() -> bool:
            reading = readers.latest(KEY)
            return reading is not None and reading.backlog is not None

        await wait_until(is_there, within=WAIT)
    await send(broker, QUEUE)
    return broker


async def test_the_events_of_a_message_are_known_from_the_ledger(
    filled: ServiceBusServer, cache_server: RedisServer, redis: Redis, tmp_path: Path
) -> None:
    for number in range(40):
        await redis.hset(KEYS.inflight, f"t1\n{number}\na", "c1700000000000")
    backlog = await read(source(filled, redis_url=cache_server.url), tmp_path)
    assert (backlog.events, backlog.estimated) == (40, False)
    assert backlog.oldest_seconds is not None


@pytest.mark.parametrize("redis_url", ["", "http://not-redis", "redis://127.0.0.1:1/0"])
async def test_without_a_redis_that_answers_the_messages_are_known_all_the_same(
    filled: ServiceBusServer, redis_url: str, tmp_path: Path
) -> None:
    backlog = await read(source(filled, redis_url=redis_url), tmp_path)
    assert backlog.estimated
    assert backlog.events == backlog.messages
