"""When keys were last used: noted in memory, written together, kept within bounds."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from redis.exceptions import RedisError
from tests.waiting import wait_until

from cloudscale.access import last_use
from cloudscale.access.attempts import FailedAttempts
from cloudscale.access.authentication import Authentication
from cloudscale.access.caller import NotAuthenticatedError
from cloudscale.access.directory import Directory
from cloudscale.access.last_use import LastUse
from cloudscale.cache.keys import Keys
from cloudscale.tasks import cancel_and_wait

if TYPE_CHECKING:
    from redis.asyncio import Redis
    from tests.servers.redis import RedisServer

    from cloudscale.access.administration import Administration
    from cloudscale.access.container import AccessContainer
    from cloudscale.access.shared_cache import SharedCache

KEYS = Keys(namespace="default", name="test")


@pytest.fixture
def uses(redis: Redis) -> LastUse:
    return LastUse(redis, KEYS)


async def test_a_key_s_last_use_is_known_to_all_once_it_is_written(uses: LastUse, redis: Redis) -> None:
    uses.note("AAAAAAAAAAAA")
    assert await LastUse(redis, KEYS).of(["AAAAAAAAAAAA", "BBBBBBBBBBBB"]) == [None, None]

    await uses.write()

    used, never = await LastUse(redis, KEYS).of(["AAAAAAAAAAAA", "BBBBBBBBBBBB"])
    assert used is not None
    assert datetime.now(UTC) - used < timedelta(minutes=5)
    assert never is None


async def test_an_earlier_use_that_is_written_later_does_not_count(uses: LastUse, redis: Redis) -> None:
    later = time.time() + 1000
    await redis.zadd(KEYS.access_used, {"AAAAAAAAAAAA": later})
    uses.note("AAAAAAAAAAAA")
    await uses.write()

    (used,) = await uses.of(["AAAAAAAAAAAA"])
    assert used is not None
    assert abs(used.timestamp() - later) < 1


async def test_what_was_used_long_ago_is_forgotten_and_all_of_it_expires(uses: LastUse, redis: Redis) -> None:
    await redis.zadd(KEYS.access_used, {"AAAAAAAAAAAA": time.time() - 401 * 86400})
    uses.note("BBBBBBBBBBBB")
    await uses.write()

    assert await uses.of(["AAAAAAAAAAAA"]) == [None]
    assert 0 < await redis.ttl(KEYS.access_used) <= last_use.KEPT.total_seconds()


async def test_many_keys_are_written_with_few_calls_and_noted_within_a_bound(
    uses: LastUse, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(last_use, "MOST_NOTED", 100)
    monkeypatch.setattr(last_use, "KEYS_A_CALL", 30)
    monkeypatch.setattr(last_use, "MOST_KEPT", 90)
    for number in range(1000):
        uses.note(f"{number:012}")
    await redis.config_resetstat()
    await uses.write()

    assert (await redis.info("commandstats"))["cmdstat_zadd"]["calls"] == 4
    assert await redis.zcard(KEYS.access_used) == 90


async def test_uses_that_cannot_be_written_are_written_when_redis_is_back(
    uses: LastUse, cache_server: RedisServer
) -> None:
    uses.note("AAAAAAAAAAAA")
    cache_server.stop()
    try:
        with pytest.raises((RedisError, OSError)):
            await uses.write()
    finally:
        cache_server.start()
    await uses.write()

    assert await uses.of(["AAAAAAAAAAAA"]) != [None]


async def test_only_a_key_that_holds_is_noted_and_that_at_its_lookup(
    administration: Administration, container: AccessContainer, cache: SharedCache, uses: LastUse
) -> None:
    await administration.create_tenant("acme")
    good, revoked = [await administration.create_key("acme", "web") for _ in range(2)]
    await administration.revoke_key("acme", revoked.record.id)
    noted: list[str] = []
    async with Directory(container.find, cache) as directory:
        authentication = Authentication(directory, FailedAttempts(), on_use=noted.append)
        for _ in range(100):
            await authentication.caller_of(f"Bearer {good.text}", address="192.0.2.1")
        for text in (revoked.text, good.text[:-1] + "x"):
            with pytest.raises(NotAuthenticatedError):
                await authentication.caller_of(f"Bearer {text}", address="192.0.2.1")

    assert set(noted) == {good.record.id}
    assert len(noted) < 100


async def test_what_is_noted_is_written_again_and_again(uses: LastUse) -> None:
    task = asyncio.create_task(uses.write_every_minute(seconds=0.01))
    try:
        for key_id in ("AAAAAAAAAAAA", "BBBBBBBBBBBB"):
            uses.note(key_id)

            async def is_written(key_id: str = key_id) -> bool:
                return await uses.of([key_id]) != [None]

            await wait_until(is_written, within=timedelta(seconds=30))
    finally:
        await cancel_and_wait(task)
