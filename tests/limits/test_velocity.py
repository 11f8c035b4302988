from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from cloudscale.circuit_breaker import CircuitBreaker
from cloudscale.limits.velocity import KEPT_MEMBERS, VelocityEvent, VelocityWindows

if TYPE_CHECKING:
    from redis.asyncio import Redis
    from tests.servers.redis import RedisServer

WINDOW = timedelta(seconds=60)
START = 1_700_000_000_000.0

Make = Callable[[], VelocityWindows]


@pytest.fixture
def make(redis: Redis) -> Make:
    def windows() -> VelocityWindows:
        prefix = uuid.uuid4().hex
        return VelocityWindows(redis, key=lambda address: prefix + address, window=WINDOW, breaker=breaker())

    return windows


def breaker() -> CircuitBreaker:
    second = timedelta(seconds=1)
    return CircuitBreaker(failure_ratio=1, window=second, minimum_calls=1, open_for=timedelta(seconds=0.2))


def seen(seconds: float, event_id: str = "", address: str = "a") -> VelocityEvent:
    return VelocityEvent(address, event_id or uuid.uuid4().hex, START + seconds * 1000)


async def test_each_event_is_counted_with_those_of_the_window_before_it(make: Make) -> None:
    assert await make().count([seen(0), seen(30), seen(59.999), seen(60), seen(120)]) == [1, 2, 3, 3, 1]


async def test_addresses_are_counted_apart(make: Make) -> None:
    assert await make().count([seen(0), seen(1, address="b"), seen(2), seen(3, address="c")]) == [1, 1, 2, 1]


async def test_an_event_that_is_processed_again_is_not_counted_again(make: Make) -> None:
    windows = make()
    events = [seen(second) for second in range(12)]
    first = await windows.count(events)
    assert await windows.count(events) == first


async def test_a_late_event_is_judged_by_its_own_window(make: Make) -> None:
    windows = make()
    await windows.count([seen(second) for second in range(50, 60)])
    assert await windows.count([seen(49)]) == [1]


async def test_counts_go_on_from_call_to_call(make: Make) -> None:
    windows = make()
    assert [await windows.count([seen(second)]) for second in range(4)] == [[1], [2], [3], [4]]


async def test_a_flood_is_bounded_in_memory_and_what_is_older_than_it_is_part_of_it(make: Make) -> None:
    windows = make()
    counts = await windows.count([seen(number / 1000) for number in range(3 * KEPT_MEMBERS)])
    assert counts[-1] == 3 * KEPT_MEMBERS
    assert (await windows.count([seen(0.5)]))[0] >= KEPT_MEMBERS
    assert await windows.count([seen(4), seen(5)]) == [KEPT_MEMBERS, KEPT_MEMBERS]


async def test_nothing_to_count_asks_nobody(make: Make) -> None:
    assert await make().count([]) == []


@hypothesis_settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, 200), st.sampled_from("ab")), max_size=40))
async def test_counts_in_the_order_of_time_agree_with_a_plain_count(make: Make, events: list[tuple[int, str]]) -> None:
    sightings = [seen(second, address=address) for second, address in events]
    expected = [
        sum(other.sender == each.sender and 0 <= each.milliseconds - other.milliseconds < 60_000 for other in sightings)
        for each in sightings
    ]
    assert await make().count(sightings) == expected


@pytest.mark.fault
async def test_without_redis_this_process_counts_and_with_it_redis_again(cache_server: RedisServer, make: Make) -> None:
    windows = make()
    cache_server.kill()
    try:
        counts = [await windows.count([seen(second)]) for second in range(3)]
    finally:
        cache_server.start()
    assert counts == [[1], [2], [3]]
