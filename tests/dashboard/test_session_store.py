"""A session is a random name in Redis: it can be ended, expires, and outlives an outage for those who were seen."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from redis.exceptions import RedisError

from cloudscale.dashboard import session_store as module
from cloudscale.dashboard.session_store import SessionStore

if TYPE_CHECKING:
    from redis.asyncio import Redis
    from tests.servers.redis import RedisServer

PREFIX = "test:session:"


async def test_a_session_is_found_by_every_replica(redis: Redis) -> None:
    name = await SessionStore(redis, key_prefix=PREFIX).open("d1")
    assert await SessionStore(redis, key_prefix=PREFIX).find(name) == "d1"
    assert await SessionStore(redis, key_prefix=PREFIX).find(name + "x") is None


async def test_what_is_in_redis_opens_no_session(redis: Redis) -> None:
    store = SessionStore(redis, key_prefix=PREFIX)
    name = await store.open("d1")
    (found,) = await redis.keys("*")
    key = found.decode() if isinstance(found, bytes) else found
    assert name not in key
    assert await store.find(key.removeprefix(PREFIX)) is None


async def test_a_session_that_was_ended_is_over_here_at_once_and_elsewhere_soon(redis: Redis) -> None:
    here, elsewhere = SessionStore(redis, key_prefix=PREFIX), SessionStore(redis, key_prefix=PREFIX, trusted_seconds=0)
    name = await here.open("d1")
    assert await elsewhere.find(name) == "d1"
    await here.end(name)
    assert await here.find(name) is None
    assert await elsewhere.find(name) is None


async def test_a_session_expires(redis: Redis) -> None:
    await SessionStore(redis, key_prefix=PREFIX).open("d1")
    (key,) = await redis.keys("*")
    assert 0 < await redis.ttl(key) <= module.SESSION_SECONDS


@pytest.mark.fault
async def test_without_redis_only_sessions_that_were_seen_go_on(cache_server: RedisServer, redis: Redis) -> None:
    store = SessionStore(redis, key_prefix=PREFIX, trusted_seconds=0)
    seen = await store.open("d1")
    cache_server.kill()
    try:
        assert await store.find(seen) == "d1"
        assert await SessionStore(redis, key_prefix=PREFIX).find(seen) is None
        opened = await store.open("d2")
        assert await store.find(opened) == "d2"
        with pytest.raises((RedisError, OSError)):
            await store.end(seen)
        assert await store.find(seen) is None
    finally:
        cache_server.start()


async def test_the_memory_is_bounded(redis: Redis) -> None:
    store = SessionStore(redis, key_prefix=PREFIX, cached_sessions=3)
    for number in range(9):
        await store.open(f"d{number}")
    assert len(store._seen) == 3
