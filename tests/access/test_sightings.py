"""What Redis keeps of devices that send."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cloudscale.access.sightings import KEPT, SPAN, DeviceName, Seen, Sighting, Sightings
from cloudscale.cache.keys import Keys

if TYPE_CHECKING:
    from collections.abc import Sequence

    from redis.asyncio import Redis

KEYS = Keys(namespace="default", name="test")
THERMOSTAT = DeviceName("acme", "thermostat-7")
NOON = datetime(2026, 11, 28, 12, tzinfo=UTC)


def milliseconds(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)


def sent(after: timedelta, *, difference: int | None = None) -> Sighting:
    """One event of a time after noon, whose difference is in milliseconds."""
    at = milliseconds(NOON + after)
    return Sighting(at, at, difference)


@pytest.fixture
def sightings(redis: Redis) -> Sightings:
    return Sightings(redis, keys=KEYS)


async def seen_after(sightings: Sightings, noticed: Sequence[Sighting]) -> Seen:
    for each in noticed:
        await sightings.add([(THERMOSTAT, each)])
    return (await sightings.find([THERMOSTAT]))[THERMOSTAT]


async def test_a_device_that_has_not_sent_is_not_found(sightings: Sightings) -> None:
    await sightings.add([(THERMOSTAT, sent(timedelta(0)))])

    found = await sightings.find([THERMOSTAT, DeviceName("acme", "other"), DeviceName("contoso", "thermostat-7")])

    assert found.keys() == {THERMOSTAT}


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    noticed=st.lists(
        st.tuples(
            st.integers(0, 2 * 3600_000),
            st.integers(0, 60_000),
            st.none() | st.integers(-(10**12), 10**12),
        ),
        min_size=1,
        max_size=12,
    )
)
async def test_the_first_and_the_last_time_hold_in_whatever_order_processes_write(
    redis: Redis, sightings: Sightings, noticed: list[tuple[int, int, int | None]]
) -> None:
    await redis.flushdb()
    noon = milliseconds(NOON)
    all_of_them = [Sighting(noon + first, noon + first + length, each) for first, length, each in noticed]

    seen = await seen_after(sightings, all_of_them)

    assert milliseconds(seen.first) == min(each.first for each in all_of_them)
    assert milliseconds(seen.last) == max(each.last for each in all_of_them)
    measured = [each.difference for each in all_of_them if each.difference is not None]
    assert seen.difference_seconds == (measured[-1] / 1000 if measured else None)


async def test_the_smallest_difference_is_the_skew_since_delays_only_add(sightings: Sightings) -> None:
    late = [sent(timedelta(seconds=n), difference=each) for n, each in enumerate((90_000, 30_250, 3_600_000))]

    seen = await seen_after(sightings, late)

    assert (seen.skew_seconds, seen.difference_seconds) == (30.25, 3600)


async def test_a_clock_that_is_put_right_is_known_as_right_two_spans_later(sightings: Sightings) -> None:
    seen = await seen_after(sightings, [sent(timedelta(0), difference=-3_600_000)])
    assert seen.skew_seconds == -3600

    seen = await seen_after(sightings, [sent(SPAN, difference=20)])
    assert seen.skew_seconds == -3600, "the span before counts as well"
    seen = await seen_after(sightings, [sent(2 * SPAN, difference=30)])

    assert seen.skew_seconds == 0.02


async def test_events_that_do_not_say_when_they_happened_measure_no_clock(sightings: Sightings) -> None:
    seen = await seen_after(sightings, [sent(timedelta(0)), sent(timedelta(seconds=5))])

    assert (seen.skew_seconds, seen.difference_seconds) == (None, None)


async def test_everything_is_forgotten_after_some_time(redis: Redis, sightings: Sightings) -> None:
    await sightings.add([(THERMOSTAT, sent(timedelta(0), difference=1))])

    names = await redis.keys("*")

    assert len(names) == 2
    for name in names:
        assert 0 < await redis.ttl(name) <= KEPT.total_seconds()


async def test_a_first_sighting_is_told_until_somebody_has_written_it_down(sightings: Sightings) -> None:
    await sightings.add([(THERMOSTAT, sent(timedelta(0)))])
    await sightings.add([(THERMOSTAT, sent(timedelta(seconds=5)))])
    assert await sightings.new(limit=10) == {THERMOSTAT: NOON}

    await sightings.forget_new([THERMOSTAT])
    await sightings.add([(THERMOSTAT, sent(timedelta(seconds=10)))])

    assert await sightings.new(limit=10) == {}
