from __future__ import annotations

import time
from datetime import datetime
from typing import TYPE_CHECKING

import msgspec
from tests.ledger.counting import add_to

from cloudscale.cache.keys import Keys
from cloudscale.cache.records import OTHERS, TENANTS_AN_HOUR, Acceptance, Counts, hour_at
from cloudscale.ledger.reading import read_ledger, restricted

if TYPE_CHECKING:
    from redis.asyncio import Redis

HOUR = hour_at(time.time())
EPOCH = 1_795_248_000.5
"""2026-11-21T08:00:00.5Z"""
KEYS = Keys(namespace="default", name="test")


async def test_an_empty_ledger_reads_as_empty(redis: Redis) -> None:
    reading = await read_ledger(redis, KEYS)

    assert (reading.counts, reading.in_flight, reading.full_hours) == ({}, [], frozenset())


async def test_what_was_accepted_while_redis_was_away_is_told_apart(redis: Redis) -> None:
    for kind, number in {"accepted": 5, "accepted-unnamed": 2, "dead": 1, "duplicates-unnamed": 3}.items():
        await add_to(redis, KEYS, kind, number, tenant="acme", hour=HOUR)

    counts = (await read_ledger(redis, KEYS)).counts["acme", HOUR]

    assert counts.named == Counts(accepted=5, dead_letters=1)
    assert counts.unnamed == Counts(accepted=2, duplicates=3)
    assert counts.both == Counts(accepted=7, duplicates=3, dead_letters=1)


async def test_tenants_beyond_the_bound_are_counted_together_and_so_is_what_they_have_in_flight(redis: Redis) -> None:
    for number in range(TENANTS_AN_HOUR + 2):
        await add_to(redis, KEYS, "accepted", tenant=f"tenant-{number}", hour=HOUR)
    at = datetime.fromisoformat(f"{HOUR}:30:00+00:00").timestamp()
    late = Acceptance(f"tenant-{TENANTS_AN_HOUR}", "e", "t", at, acknowledged=True)
    early = msgspec.structs.replace(late, tenant_id="tenant-0")

    reading = await read_ledger(redis, KEYS)

    assert reading.counts[OTHERS, HOUR].named.accepted == 2
    assert len(reading.counts) == TENANTS_AN_HOUR + 1
    assert (reading.hour_of(late), reading.hour_of(early)) == ((OTHERS, HOUR), ("tenant-0", HOUR))


async def test_what_is_in_flight_says_when_it_was_received_and_whether_it_was_acknowledged(redis: Redis) -> None:
    milliseconds = round(EPOCH * 1000)
    await redis.hset(KEYS.inflight, mapping={"acme\ne1\nt1": f"c{milliseconds}", "acme\ne2\nt2": f"p{milliseconds}"})

    in_flight = (await read_ledger(redis, KEYS)).in_flight

    assert sorted(in_flight, key=lambda each: each.event_id) == [
        Acceptance("acme", "e1", "t1", EPOCH, acknowledged=True),
        Acceptance("acme", "e2", "t2", EPOCH, acknowledged=False),
    ]
    assert {each.hour for each in in_flight} == {("acme", "2026-11-21T08")}


async def test_a_reading_for_one_tenant_leaves_out_all_of_the_others(redis: Redis) -> None:
    for tenant in ("acme", "globex"):
        await add_to(redis, KEYS, "accepted", tenant=tenant, hour=HOUR)
        await redis.hset(KEYS.inflight, f"{tenant}\ne\nt", "c1")
    reading = await read_ledger(redis, KEYS)

    own = restricted(reading, frozenset({"acme"}))

    assert set(own.counts) == {("acme", HOUR)}
    assert [each.tenant_id for each in own.in_flight] == ["acme"]
    assert restricted(reading, None) is reading
