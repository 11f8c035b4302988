"""A session is a random name in Redis: it can be ended, expires, and outlives an outage for those who were seen."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from redis.exceptions import RedisError
from tests.dashboard.person import person

from cloudscale.dashboard.session import (
    IDLE_SECONDS,
    PERSON_SESSION_SECONDS,
    TOKEN_SESSION_SECONDS,
    TokenSession,
    session_of_token,
)
from cloudscale.dashboard.session_store import SessionStore, new_name

if TYPE_CHECKING:
    from redis.asyncio import Redis
    from tests.servers.redis import RedisServer

PREFIX = "test:session:"
D1, D2 = session_of_token("d1"), session_of_token("d2")


async def test_a_session_is_found_by_every_replica(redis: Redis) -> None:
    name = await SessionStore(redis, key_prefix=PREFIX).open(D1)
    assert await SessionStore(redis, key_prefix=PREFIX).find(name) == D1
    assert await SessionStore(redis, key_prefix=PREFIX).find(name + "x") is None


async def test_what_is_in_redis_opens_no_session(redis: Redis) -> None:
    store = SessionStore(redis, key_prefix=PREFIX)
    name = await store.open(D1)
    (found,) = await redis.keys("*")
    key = found.decode() if isinstance(found, bytes) else found
    assert name not in key
    assert await store.find(key.removeprefix(PREFIX)) is None


async def test_a_session_that_was_ended_is_over_here_at_once_and_elsewhere_soon(redis: Redis) -> None:
    here, elsewhere = SessionStore(redis, key_prefix=PREFIX), SessionStore(redis, key_prefix=PREFIX, trusted_seconds=0)
    name = await here.open(D1)
    assert await elsewhere.find(name) == D1
    await here.end(name)
    assert await here.find(name) is None
    assert await elsewhere.find(name) is None


async def test_a_token_s_session_falls_idle_unless_it_is_used(redis: Redis) -> None:
    store = SessionStore(redis, key_prefix=PREFIX, trusted_seconds=0)
    name = await store.open(D1)
    (key,) = await redis.keys("*")
    assert IDLE_SECONDS - 60 < await redis.ttl(key) <= IDLE_SECONDS == 900
    await redis.expire(key, 5)

    assert await store.find(name) == D1

    assert IDLE_SECONDS - 60 < await redis.ttl(key) <= IDLE_SECONDS
    await redis.delete(key)
    assert await store.find(name) is None


async def test_no_activity_carries_a_token_s_session_beyond_its_end(redis: Redis) -> None:
    store = SessionStore(redis, key_prefix=PREFIX, trusted_seconds=0)
    assert D1.ends_at - time.time() <= TOKEN_SESSION_SECONDS == 12 * 3600
    name = await store.open(TokenSession(token_digest="d1", ends_at=time.time() + 30))
    (key,) = await redis.keys("*")

    await store.find(name)

    assert 0 < await redis.ttl(key) <= 30


async def test_a_person_s_session_is_kept_until_it_ends(redis: Redis) -> None:
    store = SessionStore(redis, key_prefix=PREFIX, trusted_seconds=0)
    opened = person()
    name = await store.open(opened)
    (key,) = await redis.keys("*")

    assert await store.find(name) == opened
    assert PERSON_SESSION_SECONDS - 60 < await redis.ttl(key) <= PERSON_SESSION_SECONDS == 7 * 24 * 3600


async def test_a_session_is_replaced_unless_it_was_ended_meanwhile(redis: Redis) -> None:
    store, elsewhere = (SessionStore(redis, key_prefix=PREFIX, trusted_seconds=60) for _ in range(2))
    name = await store.open(D1)
    assert await elsewhere.find(name) == D1
    assert await store.replace(name, D2)
    assert await store.find(name) == D2
    assert await elsewhere.find(name) == D1
    assert await elsewhere.find(name, fresh=True) == D2

    await elsewhere.end(name)

    assert not await store.replace(name, D1)
    assert await store.find(name) is None
    assert await redis.keys("*") == []


@pytest.mark.parametrize("content", [b"", b"d1", b"{}", b'{"kind":"token"}', b"\xff", b'{"kind":"other"}'])
async def test_what_another_version_wrote_is_no_session(redis: Redis, content: bytes) -> None:
    store = SessionStore(redis, key_prefix=PREFIX)
    name = await store.open(D1)
    (key,) = await redis.keys("*")
    await redis.set(key, content)

    assert await SessionStore(redis, key_prefix=PREFIX).find(name) is None


async def test_a_name_may_be_chosen_before_the_session_is_open(redis: Redis) -> None:
    store, name = SessionStore(redis, key_prefix=PREFIX), new_name()

    assert await store.open(D1, name=name) == name
    assert await store.find(name) == D1
    assert name != new_name()


@pytest.mark.fault
async def test_without_redis_only_sessions_that_were_seen_go_on(cache_server: RedisServer, redis: Redis) -> None:
    store = SessionStore(redis, key_prefix=PREFIX, trusted_seconds=0)
    seen = await store.open(D1)
    cache_server.kill()
    try:
        assert await store.find(seen) == D1
        assert await SessionStore(redis, key_prefix=PREFIX).find(seen) is None
        opened = await store.open(D2)
        assert await store.find(opened) == D2
        with pytest.raises((RedisError, OSError)):
            await store.end(seen)
        assert await store.find(seen) is None
    finally:
        cache_server.start()


async def test_the_memory_is_bounded(redis: Redis) -> None:
    store = SessionStore(redis, key_prefix=PREFIX, cached_sessions=3)
    for number in range(9):
        await store.open(session_of_token(f"d{number}"))
    assert len(store._seen) == 3
