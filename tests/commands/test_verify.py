"""How long ``cloudscale verify`` lets the pipeline work before it counts what is stored."""

from __future__ import annotations

import asyncio
import time
import uuid
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
import typer

from cloudscale.cache.keys import Keys
from cloudscale.commands import verify
from cloudscale.pipeline import load
from cloudscale.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path

    from redis.asyncio import Redis
    from tests.servers.redis import RedisServer

LONG_SECONDS = 60.0


@pytest.fixture
def keys() -> Keys:
    return Keys(namespace="test", name=uuid.uuid4().hex)


async def test_it_waits_for_events_that_are_being_worked_off(redis: Redis, keys: Keys) -> None:
    await redis.hset(keys.inflight, mapping={str(number): "c1" for number in range(3)})
    waiting = asyncio.create_task(verify._stand_still(redis, keys, until=time.monotonic() + LONG_SECONDS))
    for number in range(3):
        await asyncio.wait([waiting], timeout=2 * verify._INTERVAL_SECONDS)
        assert not waiting.done()
        await redis.hdel(keys.inflight, str(number))
    async with asyncio.timeout(LONG_SECONDS):
        await waiting


async def test_it_does_not_wait_for_ever_for_an_event_that_nobody_works_on(redis: Redis, keys: Keys) -> None:
    await redis.hset(keys.inflight, "lost", "c1")
    async with asyncio.timeout(LONG_SECONDS / 2):
        await verify._stand_still(redis, keys, until=time.monotonic() + LONG_SECONDS, still_seconds=0.5)


async def test_without_a_wait_it_does_not_look(redis: Redis, keys: Keys) -> None:
    await redis.hset(keys.inflight, "waiting", "c1")
    async with asyncio.timeout(verify._STILL_SECONDS / 2):
        await verify._stand_still(redis, keys, until=time.monotonic())


@pytest.mark.parametrize("away", ["store", "redis"])
def test_a_backend_that_is_away_is_no_loss_and_has_an_exit_code_of_its_own(
    cache_server: RedisServer,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    *,
    away: str,
) -> None:
    document = {"apiVersion": "cloudscale.io/v1alpha1", "kind": "EventPipeline", "metadata": {"name": "away"}}
    nowhere = Settings(
        pipeline_file="",
        redis_url=cache_server.url if away == "store" else "redis://127.0.0.1:1/0",
        cosmos_connection_string="AccountEndpoint=http://127.0.0.1:1/;AccountKey=a2V5",
    )
    instance = SimpleNamespace(pipeline=load(document), settings=nowhere)
    monkeypatch.setattr(verify, "find_instance", lambda _: instance)

    with pytest.raises(typer.Exit) as ended:
        verify.verify(data_dir=tmp_path)

    assert ended.value.exit_code == verify.EXIT_UNKNOWN
    assert "nothing is proven, and nothing is known to be lost" in capsys.readouterr().err
