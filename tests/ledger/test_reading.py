from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from redis.asyncio import Redis

from cloudscale.cache.keys import UNNAMED, Keys
from cloudscale.ledger.reading import Acceptance, read_ledger, restricted

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.servers.redis import RedisServer

HOUR = "2026-11-21T07"
EPOCH = 1_795_248_000.5
"""2026-11-21T08:00:00.5Z"""
KEYS = Keys(namespace="default", name="test")


@pytest.fixture
async def redis(cache_server: RedisServer) -> AsyncIterator[Redis]:
    async with Redis.from_url(cache_server.url) as client:
        await client.flushall()
        yield client


async def test_an_empty_ledger_reads_as_empty(redis: Redis) -> None:
    reading = await read_ledger(redis, KEYS)

    assert (reading.accepted, reading.duplicates, reading.dead_letters, reading.in_flight) == ({}, {}, {}, [])


async def test_counts_are_summed_over_reasons_and_those_without_a_name_are_told_apart(redis: Redis) -> None:
    await redis.hset(KEYS.accepted, mapping={f"acme\n{HOUR}": 5, f"acme\n{HOUR}\n{UNNAMED}": 2})
    await redis.hset(KEYS.dead_letters, mapping={f"acme\n{HOUR}\nUnknownEventType": 1, f"acme\n{HOUR}\nOther": 3})

    reading = await read_ledger(redis, KEYS)

    assert reading.accepted == {("acme", HOUR): 7}
    assert reading.unnamed == {("acme", HOUR): 2}
    assert reading.dead_letters == {("acme", HOUR): 4}


async def test_what_is_in_flight_says_when_it_was_received_and_whether_it_was_acknowledged(redis: Redis) -> None:
    milliseconds = round(EPOCH * 1000)
    await redis.hset(KEYS.inflight, mapping={"acme\ne1\nt1": f"c{milliseconds}", "acme\ne2\nt2": f"p{milliseconds}"})

    in_flight = (await read_ledger(redis, KEYS)).in_flight

    assert sorted(in_flight, key=lambda each: each.event_id) == [
        Acceptance("acme", "e1", "t1", EPOCH, acknowledged=True),
        Acceptance("acme", "e2", "t2", EPOCH, acknowledged=False),
    ]
    assert {each.hour for each in in_flight} == {("acme", "2026-11-21T08")}


async def test_a_reading_for_one_tenant_leaves_out_all_of_the_others(redis: Redis) -> None:
    for tenant in ("acme", "globex"):
        for name in (KEYS.accepted, KEYS.duplicates, KEYS.dead_letters):
            await redis.hset(name, f"{tenant}\n{HOUR}", 1)
        await redis.hset(KEYS.accepted, f"{tenant}\n{HOUR}\n{UNNAMED}", 1)
        await redis.hset(KEYS.inflight, f"{tenant}\ne\nt", "c1")
    reading = await read_ledger(redis, KEYS)

    own = restricted(reading, frozenset({"acme"}))

    counts = (own.accepted, own.duplicates, own.dead_letters, own.unnamed)
    assert [set(count) for count in counts] == [{("acme", HOUR)}] * 4
    assert [each.tenant_id for each in own.in_flight] == ["acme"]
    assert restricted(reading, None) is reading
