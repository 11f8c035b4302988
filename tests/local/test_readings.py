from __future__ import annotations

import time
from typing import TYPE_CHECKING

from redis.asyncio import Redis
from tests.ledger.counting import add_to
from tests.servers.redis import redis_server

from cloudscale.cache.keys import keys_of
from cloudscale.local.readings import Readings
from cloudscale.pipeline import load
from cloudscale.telemetry import figures
from cloudscale.telemetry.distribution import Distribution

if TYPE_CHECKING:
    from pathlib import Path

PIPELINE = load({"apiVersion": "cloudscale.io/v1alpha1", "kind": "EventPipeline", "metadata": {"name": "shop"}})


def ingestion(*, at: float, accepted: float, answers: tuple[float, ...]) -> figures.Figures:
    return figures.Figures(
        role="ingestion",
        process="one",
        started_at=at - 100,
        at=at,
        accepted={"page_view": {"shop": accepted}},
        rate_limited={"client": accepted / 10},
        ingestion_seconds=Distribution(bounds=(0.01, 0.02), counts=answers),
    )


async def test_a_reading_has_rates_since_the_last_one_and_the_ledgers_totals(tmp_path: Path) -> None:
    keys = keys_of(PIPELINE)
    with redis_server(tmp_path) as server:
        async with Redis.from_url(server.url) as redis, Readings(PIPELINE, redis_url=server.url) as readings:
            now = time.time()
            await figures.publish(redis, ingestion(at=now, accepted=100, answers=(1, 0, 0)), key=keys.figures)
            await add_to(redis, keys, "accepted", 70, tenant="shop")
            await add_to(redis, keys, "accepted-unnamed", 30, tenant="bank")
            await add_to(redis, keys, "duplicates", 4, tenant="shop")
            await add_to(redis, keys, "dead", 1, tenant="shop")
            await redis.hset(keys.inflight, mapping={"shop\na\n1": "c1", "shop\nb\n1": "c1"})
            first = await readings.take()
            await figures.publish(redis, ingestion(at=now + 2, accepted=300, answers=(1, 99, 0)), key=keys.figures)
            second = await readings.take()

    assert first is not None
    assert second is not None
    assert (first.accepted_per_second, first.p99_seconds) == (0, None)
    assert (second.accepted_per_second, second.refused_per_second) == (100, 10)
    assert second.p99_seconds is not None
    assert 0.01 < second.p99_seconds <= 0.02
    assert (second.accepted, second.in_flight, second.duplicates, second.dead_letters) == (100, 2, 4, 1)
    assert second.persisted == 93


async def test_a_reading_never_reads_the_ledger_as_a_whole(tmp_path: Path) -> None:
    keys = keys_of(PIPELINE)
    with redis_server(tmp_path) as server:
        async with Redis.from_url(server.url) as redis, Readings(PIPELINE, redis_url=server.url) as readings:
            await readings.take()
            asked: list[list[str]] = []
            async with redis.monitor() as monitor:
                await readings.take()
                await redis.echo("over")
                while (command := (await monitor.next_command())["command"].split())[0] != "ECHO":
                    asked.append(command)

    whole = {key for name, key, *_ in asked if name in {"HGETALL", "HVALS", "HKEYS", "SMEMBERS"}}
    # Which has an entry for each process.
    assert whole == {keys.figures}


async def test_the_ledger_is_read_beside_figures_of_another_version(tmp_path: Path) -> None:
    keys = keys_of(PIPELINE)
    with redis_server(tmp_path) as server:
        async with Redis.from_url(server.url) as redis, Readings(PIPELINE, redis_url=server.url) as readings:
            await redis.hset(keys.figures, mapping={"worker": '{"at": "noon"}'})
            await redis.hset(keys.inflight, mapping={"shop\na\n1": "c1"})
            reading = await readings.take()

    assert reading is not None
    assert reading.in_flight == 1


async def test_there_is_no_reading_while_redis_is_away(tmp_path: Path) -> None:
    async with Readings(PIPELINE, redis_url="redis://127.0.0.1:1/0") as readings:
        assert await readings.take() is None
