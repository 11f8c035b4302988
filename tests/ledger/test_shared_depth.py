"""The depth that one role reads for the others."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cloudscale.cache.keys import Keys
from cloudscale.errors import BackendUnavailableError, CredentialError
from cloudscale.ledger.shared_depth import KEPT_SECONDS, SharedDepth
from cloudscale.queue.administration import QueueDepth

if TYPE_CHECKING:
    from redis.asyncio import Redis
    from tests.servers.redis import RedisServer

KEYS = Keys(namespace="test", name="depth")
WRITTEN = QueueDepth(active=3, dead_letters=2, scheduled=1)


async def written() -> QueueDepth:
    return WRITTEN


async def fresh() -> QueueDepth:
    return QueueDepth(active=9, dead_letters=0, scheduled=0)


async def refused() -> QueueDepth:
    raise CredentialError("Manage,EntityRead claims required")


async def away() -> QueueDepth:
    raise BackendUnavailableError("the management API does not answer")


async def test_who_may_ask_gets_what_the_broker_says(redis: Redis) -> None:
    await SharedDepth(written, redis, keys=KEYS).read_and_share()
    assert (await SharedDepth(fresh, redis, keys=KEYS).read()).active == 9


async def test_who_may_not_ask_gets_what_was_written_down(redis: Redis) -> None:
    await SharedDepth(written, redis, keys=KEYS).read_and_share()
    assert await SharedDepth(refused, redis, keys=KEYS).read() == WRITTEN


async def test_an_old_depth_says_nothing(redis: Redis) -> None:
    await SharedDepth(written, redis, keys=KEYS).read_and_share()
    assert 0 < await redis.ttl(KEYS.depth) <= KEPT_SECONDS
    await redis.delete(KEYS.depth)
    with pytest.raises(CredentialError):
        await SharedDepth(refused, redis, keys=KEYS).read()


async def test_what_is_written_there_by_somebody_else_says_nothing(redis: Redis) -> None:
    await redis.set(KEYS.depth, "deep")
    with pytest.raises(CredentialError):
        await SharedDepth(refused, redis, keys=KEYS).read()


async def test_a_broker_that_does_not_answer_is_away_whatever_was_written(redis: Redis) -> None:
    await SharedDepth(written, redis, keys=KEYS).read_and_share()
    with pytest.raises(BackendUnavailableError):
        await SharedDepth(away, redis, keys=KEYS).read()


async def test_the_depth_is_known_to_its_reader_while_redis_is_away(cache_server: RedisServer, redis: Redis) -> None:
    cache_server.kill()
    try:
        assert await SharedDepth(written, redis, keys=KEYS).read_and_share() == WRITTEN
        with pytest.raises(BackendUnavailableError, match="claims required"):
            await SharedDepth(refused, redis, keys=KEYS).read()
    finally:
        cache_server.start()
