from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from redis.asyncio import Redis

from cloudscale.telemetry.refusals import GROUPS_AN_HOUR, SAMPLES_AN_HOUR, Group, RefusalStore, Sample

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.servers.redis import RedisServer

PREFIX = "cloudscale:default/test:refused:"
GROUP = Group(400, "validation", "contoso", "10.0.0.1", "/url")


@pytest.fixture
async def redis(cache_server: RedisServer) -> AsyncIterator[Redis]:
    async with Redis.from_url(cache_server.url) as redis:
        await redis.flushdb()
        yield redis


@pytest.fixture
def store(redis: Redis) -> RefusalStore:
    return RefusalStore(redis, key_prefix=PREFIX)


def sample(detail: str) -> Sample:
    return Sample(time.time(), detail, "c-1", '{"url":1}')


async def test_refusals_of_a_group_add_up_and_the_newest_sample_stays(store: RefusalStore) -> None:
    await store.add([(GROUP, 2, sample("first"))])
    await store.add([(GROUP, 3, sample("second"))])

    found = await store.read(hours=1)

    assert {group: each.count for group, each in found.items()} == {GROUP: 5}
    assert [each.detail for each in found[GROUP].samples] == ["second"]


async def test_an_hour_has_so_many_groups_and_samples_whoever_writes(redis: Redis, store: RefusalStore) -> None:
    for start in range(0, 2 * GROUPS_AN_HOUR, 100):
        numbers = range(start, start + 100)
        await store.add([(Group(400, "validation", f"t{n}", "10.0.0.1"), 1, sample("wrong")) for n in numbers])

    found = await store.read(hours=1)

    assert len(found) == GROUPS_AN_HOUR + 1
    assert sum(len(each.samples) for each in found.values()) == SAMPLES_AN_HOUR
    assert found[Group(400, "validation")].count == GROUPS_AN_HOUR
    assert sum(each.count for each in found.values()) == 2 * GROUPS_AN_HOUR


async def test_a_group_that_is_known_counts_when_there_is_no_more_place(store: RefusalStore) -> None:
    await store.add([(GROUP, 1, None)])
    for start in range(0, GROUPS_AN_HOUR, 100):
        await store.add([(Group(400, "validation", f"t{n}", "x"), 1, None) for n in range(start, start + 100)])

    await store.add([(GROUP, 1, None)])

    assert (await store.read(hours=1))[GROUP].count == 2


async def test_everything_expires(redis: Redis, store: RefusalStore) -> None:
    await store.add([(GROUP, 1, sample("wrong"))])

    keys = [key async for key in redis.scan_iter(PREFIX + "*")]

    assert len(keys) == 2
    assert all([0 < await redis.ttl(key) <= 25 * 3600 for key in keys])


async def test_hours_before_those_asked_for_are_left_out(
    redis: Redis, store: RefusalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.time()
    await store.add([(GROUP, 1, None)])
    monkeypatch.setattr("cloudscale.telemetry.refusals.time.time", lambda: now + 3600)

    assert await store.read(hours=1) == {}
    assert (await store.read(hours=2))[GROUP].count == 1
