"""Senders whom nobody knows leave nothing behind: a smaller version of ``python -m bench access``."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

import pytest
from bench.keep_alive import request_of, send_from_many_addresses
from redis import Redis
from tests.servers.cosmos import cosmos_server
from tests.servers.ingestion import UNLIMITED, ingestion_server

from cloudscale.access import api_key

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.servers.ingestion import IngestionServer
    from tests.servers.redis import RedisServer
    from tests.servers.servicebus import ServiceBusServer

STRANGERS = 4_000
WARM_UP = 500
REQUESTS_AN_ADDRESS = 10
SMALLEST_TRACE_BYTES = 60
"""What one key in Redis takes at the least."""


@pytest.fixture(scope="module")
def guarded(
    tmp_path_factory: pytest.TempPathFactory, broker: ServiceBusServer, cache_server: RedisServer
) -> Iterator[IngestionServer]:
    spec = {"queue": {"name": "strangers"}, "ingestion": {"rateLimits": UNLIMITED}}
    with (
        cosmos_server(tmp_path_factory.mktemp("cosmos")) as store,
        ingestion_server(
            tmp_path_factory.mktemp("strangers"),
            broker=broker,
            cache=cache_server,
            spec=spec,
            name="strangers",
            store=store,
        ) as server,
    ):
        yield server


class Size(NamedTuple):
    """How many keys a Redis has, and how many bytes it uses."""

    keys: int
    used: int


def size_of(cache: RedisServer) -> Size:
    with Redis("127.0.0.1", port=cache.port) as redis:
        keys, memory = redis.dbsize(), redis.info("memory")
        assert isinstance(keys, int)
        assert isinstance(memory, dict)
        return Size(keys, memory["used_memory"])


def invented(number: int) -> bytes:
    event = {"eventType": "page_view", "url": "https://shop.example/", "tenantId": f"invented-{number}"}
    return request_of(json.dumps(event).encode(), authorization=api_key.generate().text)


async def test_invented_tenants_and_keys_leave_redis_as_it_is(
    guarded: IngestionServer, cache_server: RedisServer
) -> None:
    async def send(count: int, *, addresses: int) -> set[int]:
        at_once = REQUESTS_AN_ADDRESS
        return {
            *await send_from_many_addresses(
                guarded.port, invented, count=count, at_once=at_once, addresses=addresses, tasks=8
            )
        }

    # What is refused is counted in some places, which are taken then.
    await send(WARM_UP, addresses=WARM_UP)
    before = size_of(cache_server)

    statuses = await send(STRANGERS, addresses=STRANGERS)

    after = size_of(cache_server)
    assert 401 in statuses <= {401, 429, 503}
    assert after.keys <= before.keys + 5
    assert after.used < before.used + STRANGERS * SMALLEST_TRACE_BYTES
