from __future__ import annotations

import uuid
from datetime import timedelta
from typing import TYPE_CHECKING

import msgspec
import pytest
from tests.ledger.counting import hour_counters
from tests.waiting import wait_until

from cloudscale.cache.keys import Keys
from cloudscale.cache.records import Acceptance
from cloudscale.circuit_breaker import CircuitBreaker
from cloudscale.ledger.dead_letters import DeadLetterLedger
from cloudscale.ledger.settling import Ledger, Settlement

if TYPE_CHECKING:
    from typing import Literal

    from redis.asyncio import Redis
    from tests.servers.redis import RedisServer

LETTER = Acceptance("t1", "1", "a1", 1_714_559_400.0, acknowledged=True, is_named=False)


class Book:
    """A ledger on a real server, and what is in it."""

    def __init__(self, redis: Redis) -> None:
        self.redis = redis
        self.keys = Keys(namespace="test", name=uuid.uuid4().hex)
        second = timedelta(seconds=1)
        breaker = CircuitBreaker(failure_ratio=1, window=second, minimum_calls=1, open_for=timedelta(milliseconds=50))
        self.ledger = Ledger(redis, keys=self.keys, breaker=breaker)

    async def accept(self, *settlements: Settlement) -> None:
        await self.redis.hset(self.keys.inflight, mapping={each.field: "c1" for each in settlements})

    async def in_flight(self) -> int:
        return int(await self.redis.hlen(self.keys.inflight))

    async def counts(self) -> dict[str, int]:
        return await hour_counters(self.redis, self.keys)


@pytest.fixture
def book(redis: Redis) -> Book:
    return Book(redis)


def ended(event_id: str, kind: Literal["stored", "redelivered", "duplicate", "dead"] = "stored") -> Settlement:
    return Settlement("t1", event_id, "a1", "2024-05-01T10", kind)


async def test_each_acceptance_is_settled_and_counted_once(book: Book) -> None:
    endings = [
        ended("1"),
        ended("2", "redelivered"),
        ended("3", "duplicate"),
        ended("4", "dead"),
    ]
    await book.accept(*endings)
    assert await book.ledger.settle(endings) == [True, True, True, True]
    assert await book.ledger.settle(endings) == [True, False, False, False]
    assert await book.in_flight() == 0
    assert await book.counts() == {"t1 duplicates": 1, "t1 dead": 1}


async def test_what_was_never_accepted_is_not_counted(book: Book) -> None:
    assert await book.ledger.settle([ended("1", "duplicate"), ended("2", "dead")]) == [False, False]
    assert await book.counts() == {}


async def test_what_was_accepted_while_redis_was_away_is_counted_once_when_it_ends(book: Book) -> None:
    names = ended("1", "duplicate"), ended("2", "dead"), ended("3"), ended("4", "redelivered")
    endings = [msgspec.structs.replace(each, is_named=False) for each in names]

    assert await book.ledger.settle(endings) == [True, True, True, False]
    assert await book.ledger.settle(endings) == [False, False, True, False]

    assert await book.counts() == {"t1 duplicates-unnamed": 1, "t1 dead-unnamed": 1}


async def test_an_unnamed_dead_letter_that_is_replayed_and_dies_again_is_counted_again(book: Book) -> None:
    ending = msgspec.structs.replace(ended("1", "dead"), is_named=False)
    await book.ledger.settle([ending])

    assert await DeadLetterLedger(book.redis, keys=book.keys).reenter([LETTER]) == 1
    assert await book.counts() == {"t1 dead-unnamed": 0}

    assert await book.ledger.settle([ending]) == [True]
    assert await book.counts() == {"t1 dead-unnamed": 1}


async def test_thousands_are_settled_in_one_call(book: Book) -> None:
    endings = [ended(str(number)) for number in range(10_000)]
    await book.accept(*endings)
    assert all(await book.ledger.settle(endings))
    assert await book.in_flight() == 0


async def test_a_dead_letter_is_remembered_with_what_counts_it(book: Book) -> None:
    ending = ended("1", "dead")
    await book.accept(ending)

    await book.ledger.settle([ending])

    remembered = await book.redis.hgetall(book.keys.dead)
    assert remembered == {ending.field.encode(): b"t1\n2024-05-01T10\ndead"}


@pytest.mark.fault
async def test_settlements_wait_while_redis_is_away(cache_server: RedisServer, book: Book) -> None:
    endings = [ended("1"), ended("2", "duplicate")]
    await book.accept(*endings)
    cache_server.kill()
    try:
        assert await book.ledger.settle(endings) == [True, True]
        assert await book.ledger.settle([ended("3")]) == [True]
        await book.ledger.flush()
        assert book.ledger.waiting == 3
    finally:
        cache_server.start()

    async def flushed() -> bool:
        await book.ledger.flush()
        return book.ledger.waiting == 0

    await wait_until(flushed, within=timedelta(seconds=20))
    assert await book.in_flight() == 0
    assert await book.counts() == {"t1 duplicates": 1}
