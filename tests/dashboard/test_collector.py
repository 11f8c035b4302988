from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from redis.asyncio import Redis

from cloudscale.cache.keys import Keys
from cloudscale.dashboard.collector import Collector
from cloudscale.ledger.backlog import Backlog
from cloudscale.tasks import cancel_and_wait, start_task
from cloudscale.telemetry.figures import Figures, publish

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.servers.redis import RedisServer

KEYS = Keys(namespace="default", name="test")


@pytest.fixture
async def redis(cache_server: RedisServer) -> AsyncIterator[Redis]:
    async with Redis.from_url(cache_server.url) as redis:
        await redis.flushdb()
        yield redis


async def no_backlog() -> Backlog:
    return Backlog(events=0, messages=0, dead_letters=0, scheduled=0)


async def test_the_first_point_shows_the_first_events_of_a_new_pipeline(redis: Redis) -> None:
    now = time.time()
    accepted = {"page_view": {"contoso": 6.0}}
    new = Figures(role="ingestion", process="new", started_at=now, at=now, accepted=accepted, responses={"202": 6.0})
    old = Figures(role="ingestion", process="old", started_at=now - 3600, at=now, accepted={"purchase": {"x": 9.0}})
    for figures in (new, old):
        await publish(redis, figures, key=KEYS.figures)
    collector = Collector(redis, KEYS, backlog=no_backlog, name="test")

    collecting = start_task(collector.run(), name="collector")
    await collector.begun()
    await cancel_and_wait(collecting)

    assert set(collector.points[0].by_tenant) == {"contoso"}
    assert (collector.points[0].started, collector.points[0].ingestion) == (1, 2)
    assert collector.tallies[0].requests == 6
