"""Counters of versions that kept them in three hashes without a bound."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import TYPE_CHECKING

from tests.ledger.counting import counted, hour_counters

from cloudscale.cache.keys import Keys
from cloudscale.cache.records import OTHERS, PERIOD, TENANTS_AN_HOUR, hour_at
from cloudscale.ledger.migration import migrate
from cloudscale.ledger.reading import read_ledger

if TYPE_CHECKING:
    from redis.asyncio import Redis

KEYS = Keys(namespace="default", name="former")
HOUR = hour_at(time.time())


async def test_former_counters_become_an_hours_and_are_marked_as_mixed(redis: Redis) -> None:
    await redis.hset(KEYS.former_accepted, mapping={f"acme\n{HOUR}": 5, f"acme\n{HOUR}\nunnamed": 2})
    await redis.hset(KEYS.former_duplicates, f"acme\n{HOUR}", 1)
    await redis.hset(
        KEYS.former_dead_letters, mapping={f"acme\n{HOUR}\nUnknownEventType": 1, f"acme\n{HOUR}\nOther": 3}
    )

    counts = (await read_ledger(redis, KEYS)).counts

    assert counts.keys() == {("acme", HOUR)}
    both = counts["acme", HOUR].both
    assert (both.accepted, both.duplicates, both.dead_letters) == (7, 1, 4)
    assert counts["acme", HOUR].unnamed.accepted == 2
    assert counts["acme", HOUR].is_mixed
    former = (KEYS.former_accepted, KEYS.former_duplicates, KEYS.former_dead_letters)
    assert await redis.exists(*former) == 0


async def test_what_a_process_of_an_earlier_version_still_counts_is_added(redis: Redis) -> None:
    for _ in range(2):
        await redis.hincrby(KEYS.former_accepted, f"acme\n{HOUR}", 5)
        await migrate(redis, KEYS)

    assert (await hour_counters(redis, KEYS, HOUR))["acme accepted"] == 10
    assert await counted(redis, KEYS, "accepted") == 10


async def test_hours_before_the_period_are_kept_in_the_totals_only(redis: Redis) -> None:
    old = hour_at(time.time() - (PERIOD + timedelta(days=1)).total_seconds())
    await redis.hset(KEYS.former_accepted, f"acme\n{old}", 5)

    await migrate(redis, KEYS)

    assert not await redis.exists(KEYS.hour(old))
    assert await counted(redis, KEYS, "accepted") == 5


async def test_a_hash_that_grew_without_a_bound_is_moved_into_bounded_hours(redis: Redis) -> None:
    fields = {f"tenant-{number}\n{HOUR}": 1 for number in range(5000)}
    await redis.hset(KEYS.former_accepted, mapping=fields)  # type: ignore[arg-type] # the stub wants a wider key

    counts = (await read_ledger(redis, KEYS)).counts

    assert len(counts) == TENANTS_AN_HOUR + 1
    assert sum(each.both.accepted for each in counts.values()) == 5000
    assert counts[OTHERS, HOUR].both.accepted == 5000 - TENANTS_AN_HOUR
