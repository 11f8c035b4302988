from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from redis.asyncio import Redis

from cloudscale.dashboard.long_series import LongSeries
from cloudscale.dashboard.points import Gauges, Point
from cloudscale.telemetry.figures import Figures

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.servers.redis import RedisServer

KEY = "cloudscale:default/test:dashboard:history:day"


@pytest.fixture
async def redis(cache_server: RedisServer) -> AsyncIterator[Redis]:
    async with Redis.from_url(cache_server.url) as redis:
        await redis.flushdb()
        yield redis


def series() -> LongSeries:
    return LongSeries(KEY, step_seconds=60, steps=3)


def figures(process: str, *, at: float, accepted: float, **rest: Any) -> Figures:
    given: dict[str, Any] = {"role": "ingestion", "process": process, "started_at": 0.0, "at": at}
    return Figures(**given | {"accepted": {"page_view": {"contoso": accepted}}} | rest)


def observe(day: LongSeries, *processes: Figures, at: float) -> Point | None:
    return day.observe(processes, Point(at=at, workers=2, ingestion=len(processes)), Gauges(queue_depth=5), since=57.0)


def test_a_point_is_made_at_the_end_of_each_step() -> None:
    day = series()

    assert observe(day, figures("a", at=60.0, accepted=0), at=60.0) is None
    assert observe(day, figures("a", at=90.0, accepted=100), at=90.0) is None
    point = observe(day, figures("a", at=120.0, accepted=600), at=120.0)

    assert point is not None
    assert (point.accepted, point.queue_depth, point.workers) == (10.0, 5, 2)
    assert list(day.points) == [point]


def test_what_a_process_did_before_it_ended_counts_and_its_successor_is_a_start() -> None:
    day = series()
    observe(day, figures("a", at=60.0, accepted=0), at=60.0)
    observe(day, figures("a", at=90.0, accepted=300), at=90.0)

    point = observe(day, figures("b", at=120.0, accepted=60, started_at=95.0), at=120.0)

    assert point is not None
    assert (point.accepted, point.started, point.ingestion) == (6.0, 1, 1)


def test_the_first_step_shows_what_began_with_it() -> None:
    day = series()
    observe(day, figures("new", at=60.0, accepted=60, started_at=59.0), figures("old", at=60.0, accepted=9000), at=60.0)

    point = observe(day, figures("new", at=120.0, accepted=600, started_at=59.0), at=120.0)

    assert point is not None
    assert (point.accepted, point.started) == (10.0, 1)


async def test_the_series_survives_a_restart_without_what_is_too_old(redis: Redis) -> None:
    day = series()
    for minute in range(1, 7):
        at = minute * 60.0
        if point := observe(day, figures("a", at=at, accepted=minute), at=at):
            await day.save(redis, point)

    restarted = series()
    await restarted.load(redis, at=420.0)

    assert [point.at for point in restarted.points] == [240.0, 300.0, 360.0]
    assert 0 < await redis.ttl(KEY) <= 180
    await restarted.load(redis, at=500.0)
    assert [point.at for point in restarted.points] == [360.0]
