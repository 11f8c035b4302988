"""The backlog in events: what the ledger knows, within what the broker says."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from cloudscale.cache.keys import Keys
from cloudscale.errors import BackendUnavailableError
from cloudscale.ledger.backlog import SAMPLE_ENTRIES, BacklogReader
from cloudscale.queue.administration import QueueDepth

if TYPE_CHECKING:
    from redis.asyncio import Redis
    from tests.servers.redis import RedisServer

KEYS = Keys(namespace="test", name="backlog")


class Broker:
    """What a broker says of its queue."""

    def __init__(self, messages: int) -> None:
        self.messages = messages

    async def depth(self) -> QueueDepth:
        return QueueDepth(active=self.messages, dead_letters=2, scheduled=3)


async def unreachable() -> QueueDepth:
    raise BackendUnavailableError("the management API does not answer")


def reader(broker: Broker, redis: Redis | None) -> BacklogReader:
    return BacklogReader(broker.depth, redis, keys=KEYS, events_per_message=100)


async def accept(redis: Redis, count: int, *, seconds_ago: float = 0.0, tenant: str = "t1") -> None:
    """Enter so many acceptances, all but one just now."""
    now = round(time.time() * 1000)
    entries: dict[Any, Any] = {f"{tenant}\n{number}\na": f"c{now}" for number in range(count)}
    entries[f"{tenant}\n0\na"] = f"c{now - round(seconds_ago * 1000)}"
    await redis.hset(KEYS.inflight, mapping=entries)


async def test_a_message_with_many_events_counts_as_many(redis: Redis) -> None:
    await accept(redis, 250)
    backlog = await reader(Broker(messages=3), redis).read()
    assert (backlog.events, backlog.messages, backlog.estimated) == (250, 3, False)
    assert (backlog.dead_letters, backlog.scheduled) == (2, 3)


@pytest.mark.parametrize(
    ("entries", "messages", "events"),
    [
        pytest.param(500, 0, 0, id="entries left behind are no backlog of an empty queue"),
        pytest.param(500, 2, 200, id="nor of a queue whose messages cannot hold so many"),
        pytest.param(0, 7, 7, id="a message that the ledger does not know has an event"),
    ],
)
async def test_what_the_broker_says_bounds_the_ledger(redis: Redis, entries: int, messages: int, events: int) -> None:
    if entries:
        await accept(redis, entries)
    assert (await reader(Broker(messages), redis).read()).events == events


async def test_while_redis_is_away_a_message_counts_as_the_last_ones_did(
    cache_server: RedisServer, redis: Redis
) -> None:
    broker = Broker(messages=4)
    backlog = reader(broker, redis)
    await accept(redis, 100)
    assert (await backlog.read()).events == 100
    cache_server.kill()
    try:
        broker.messages = 8
        estimate = await backlog.read()
    finally:
        cache_server.start()
    assert (estimate.events, estimate.estimated, estimate.oldest_seconds) == (200, True, None)


async def test_without_a_redis_a_message_counts_as_one_event() -> None:
    backlog = await reader(Broker(messages=4), None).read()
    assert (backlog.events, backlog.estimated) == (4, True)


async def test_the_oldest_event_has_an_age(redis: Redis) -> None:
    await accept(redis, SAMPLE_ENTRIES, seconds_ago=120)
    oldest = (await reader(Broker(messages=9), redis).read()).oldest_seconds
    assert oldest is not None
    assert 120 <= oldest < 180


async def test_an_empty_queue_has_no_oldest_event(redis: Redis) -> None:
    assert (await reader(Broker(messages=0), redis).read()).oldest_seconds is None


async def test_an_unreachable_broker_is_an_error(redis: Redis) -> None:
    with pytest.raises(BackendUnavailableError):
        await BacklogReader(unreachable, redis, keys=KEYS, events_per_message=100).read()


async def test_a_reading_asks_for_a_sample_however_much_is_in_flight(redis: Redis) -> None:
    await accept(redis, 50 * SAMPLE_ENTRIES)
    await redis.config_resetstat()
    await reader(Broker(messages=900), redis).read()
    asked = set(await redis.info("commandstats"))
    assert "cmdstat_hrandfield" in asked
    # Each of these would keep Redis from answering anybody else meanwhile.
    assert not asked & {f"cmdstat_{command}" for command in ("hgetall", "hvals", "hkeys", "hscan")}
