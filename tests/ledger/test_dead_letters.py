from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec
import pytest
from tests.ledger.counting import add_to, hour_counters

from cloudscale.cache.keys import Keys
from cloudscale.cache.records import Acceptance
from cloudscale.errors import BackendUnavailableError
from cloudscale.ledger.dead_letters import DeadLetterLedger
from cloudscale.ledger.reading import read_ledger

if TYPE_CHECKING:
    from redis.asyncio import Redis
    from tests.servers.redis import RedisServer

KEYS = Keys(namespace="test", name="dead-letters")
HOUR = "2024-05-01T10"
RECEIVED_AT = datetime(2024, 5, 1, 10, 30, tzinfo=UTC).timestamp()
LETTER = Acceptance("t1", "1", "a1", RECEIVED_AT, acknowledged=True)


@pytest.fixture
async def redis(redis: Redis) -> Redis:
    """A Redis whose ledger knows ``LETTER`` as a dead letter."""
    await redis.hset(KEYS.dead, LETTER.field, f"t1\n{HOUR}\ndead")
    await add_to(redis, KEYS, "dead", tenant="t1", hour=HOUR)
    return redis


async def dead_letters(redis: Redis) -> int:
    return (await hour_counters(redis, KEYS, HOUR)).get("t1 dead", 0)


async def test_a_replay_is_entered_again_once_however_often_it_is_tried(redis: Redis) -> None:
    ledger = DeadLetterLedger(redis, keys=KEYS)

    assert await ledger.reenter([LETTER]) == 1
    assert await ledger.reenter([LETTER]) == 0

    assert (await read_ledger(redis, KEYS)).in_flight == [LETTER]
    assert await dead_letters(redis) == 0


async def test_a_discarded_dead_letter_stays_counted_and_cannot_be_entered_again(redis: Redis) -> None:
    ledger = DeadLetterLedger(redis, keys=KEYS)

    await ledger.forget_dead([])
    await ledger.forget_dead([LETTER])

    assert await ledger.reenter([LETTER]) == 0
    assert await dead_letters(redis) == 1


async def test_a_letter_of_the_broker_itself_is_counted_when_it_is_discarded(redis: Redis) -> None:
    ledger = DeadLetterLedger(redis, keys=KEYS)
    by_broker = msgspec.structs.replace(LETTER, event_id="2")
    unnamed = msgspec.structs.replace(LETTER, event_id="3", is_named=False)
    await redis.hset(KEYS.inflight, by_broker.field, "c1")

    for _ in range(2):
        await ledger.forget_dead([by_broker, unnamed])

    assert await redis.hlen(KEYS.inflight) == 0
    assert await dead_letters(redis) == 2
    assert (await hour_counters(redis, KEYS, HOUR))["t1 dead-unnamed"] == 1


async def test_a_replay_of_a_letter_whose_hour_has_expired_makes_no_hour_anew(redis: Redis) -> None:
    await redis.delete(KEYS.hour(HOUR), KEYS.hour(HOUR) + ":tenants")

    assert await DeadLetterLedger(redis, keys=KEYS).reenter([LETTER]) == 1

    assert not await redis.exists(KEYS.hour(HOUR))


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
