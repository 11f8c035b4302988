from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cloudscale.cache.connection import open_redis
from cloudscale.cache.keys import Keys
from cloudscale.errors import BackendUnavailableError
from cloudscale.ledger.dead_letters import DeadLetterLedger

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from redis.asyncio import Redis
    from tests.servers.redis import RedisServer

KEYS = Keys(namespace="test", name="dead-letters")
LETTER = ("t1", "1", "a1")
COUNTER = "t1\n2024-05-01T10\nValidationFailed"


@pytest.fixture
async def redis(cache_server: RedisServer) -> AsyncIterator[Redis]:
    """A Redis whose ledger knows ``LETTER`` as a dead letter."""
    async with open_redis(cache_server.url) as client:
        await client.flushall()
        await client.hset(KEYS.dead, "\n".join(LETTER), COUNTER)
        await client.hset(KEYS.dead_letters, COUNTER, 1)
        yield client


async def dead_letters(redis: Redis) -> int:
    return int(await redis.hget(KEYS.dead_letters, COUNTER) or 0)


async def test_a_replay_is_entered_again_once_however_often_it_is_tried(redis: Redis) -> None:
    ledger = DeadLetterLedger(redis, keys=KEYS)

    assert await ledger.reenter([LETTER]) == 1
    assert await ledger.reenter([LETTER]) == 0

    assert await redis.hlen(KEYS.inflight) == 1
    assert await dead_letters(redis) == 0


async def test_a_discarded_dead_letter_stays_counted_and_cannot_be_entered_again(redis: Redis) -> None:
    ledger = DeadLetterLedger(redis, keys=KEYS)

    await ledger.forget_dead([])
    await ledger.forget_dead([LETTER])

    assert await ledger.reenter([LETTER]) == 0
    assert await dead_letters(redis) == 1


@pytest.mark.fault
async def test_without_redis_nothing_is_replayed_or_discarded(cache_server: RedisServer, redis: Redis) -> None:
    ledger = DeadLetterLedger(redis, keys=KEYS)
    cache_server.kill()
    try:
        with pytest.raises(BackendUnavailableError, match="enter 1 dead letters"):
            await ledger.reenter([LETTER])
        with pytest.raises(BackendUnavailableError, match="forget 1 dead letters"):
            await ledger.forget_dead([LETTER])
    finally:
        cache_server.start()
