from __future__ import annotations

import asyncio
import contextlib
import time
from datetime import timedelta

import msgspec
import pytest
from redis.asyncio import Redis
from tests.servers.redis import redis_server
from tests.waiting import wait_until

from cloudscale.telemetry import figures, metrics
from cloudscale.telemetry.figures import Figures

KEY = "cloudscale:default/test:figures"


def made(process: str, *, at: float) -> Figures:
    return Figures(role="worker", process=process, started_at=at - 5, at=at)


def test_figures_are_what_this_process_has_measured() -> None:
    before = figures.take("ingestion", process="p", started_at=1.0)
    metrics.count_ingested({("purchase", "contoso"): 3})
    metrics.observe_ingestion("purchase", [0.15, 0.4, 0.4])
    metrics.GROUP_SIZE.observe_many([3])

    after = figures.take("ingestion", process="p", started_at=1.0)

    grown = after.ingestion_seconds - before.ingestion_seconds
    was = before.accepted.get("purchase", {}).get("contoso", 0)
    assert after.accepted["purchase"]["contoso"] - was == 3
    assert grown.count == 3
    assert grown.share_within(0.2) == pytest.approx(1 / 3)
    assert after.memory_bytes > 1_000_000
    assert after.cpu_seconds > 0


def test_figures_survive_their_way_through_json() -> None:
    metrics.observe_ingestion("purchase", [0.15])
    taken = figures.take("ingestion", process="p", started_at=1.0, at=2.0)

    assert msgspec.json.decode(msgspec.json.encode(taken), type=Figures) == taken


async def test_what_was_published_is_read_until_it_expires(redis: Redis) -> None:
    now = time.time()
    for each in (made("alive", at=now), made("gone", at=now - figures.EXPIRY_SECONDS - 1)):
        await figures.publish(redis, each, key=KEY)

    assert [each.process for each in await figures.read_all(redis, key=KEY)] == ["alive"]


async def test_a_process_publishes_until_it_is_cancelled_and_clears_away_the_gone(redis: Redis) -> None:
    await figures.publish(redis, made("gone", at=1.0), key=KEY)
    publishing = asyncio.create_task(figures.publish_every_second(redis, "worker", process="w1", key=KEY))

    async def has_published_alone() -> bool:
        return len(await figures.read_all(redis, key=KEY)) == 1 and await redis.hlen(KEY) == 1

    await wait_until(has_published_alone, within=timedelta(seconds=10))
    publishing.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await publishing


async def test_publishing_goes_on_after_redis_was_away(tmp_path_factory: pytest.TempPathFactory) -> None:
    with redis_server(tmp_path_factory.mktemp("mortal")) as server:
        async with Redis.from_url(server.url, socket_timeout=1) as redis:
            publishing = asyncio.create_task(figures.publish_every_second(redis, "worker", process="w1", key=KEY))
            server.kill()
            await asyncio.sleep(0)
            server.start()

            async def has_published() -> bool:
                return bool(await figures.read_all(redis, key=KEY))

            await wait_until(has_published, within=timedelta(seconds=15))
            publishing.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await publishing


def test_no_two_processes_have_the_same_name() -> None:
    names = {figures.process_name()}
    time.sleep(0.002)

    assert figures.process_name() not in names
