"""Pure: how groups of requests are paced, also over simulated arrivals."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudscale.ingestion.pace import (
    LINGER_BEHIND_SECONDS,
    LINGER_SECONDS,
    LONE_SECONDS,
    PACE_SECONDS,
    Pace,
)

COMMIT_SECONDS = 0.004


def groups_at(rate: float, *, seconds: float, is_behind: bool = False) -> tuple[float, float]:
    """Requests that come at random; what it returns is that of :func:`groups_of`."""
    draw = random.Random(7)
    arrivals, now = [], 0.0
    while (now := now + draw.expovariate(rate)) < seconds:
        arrivals.append(now)
    return groups_of(arrivals, is_behind=is_behind)


def groups_of(arrivals: list[float], *, is_behind: bool = False) -> tuple[float, float]:
    """Simulate requests at these times: requests a group on average, and the 99th percentile of their wait."""
    pace, next_start, groups, waits = Pace(), 0.0, 0, []
    while arrivals:
        start = max(arrivals[0], next_start)
        group = [arrival for arrival in arrivals if arrival <= start]
        arrivals = arrivals[len(group) :]
        waits += [start - arrival for arrival in group]
        groups += 1
        next_start = start + pace.after(len(group), is_behind=is_behind)
    return len(waits) / groups, sorted(waits)[int(0.99 * len(waits))]


def test_a_lone_request_never_waits_long() -> None:
    pace = Pace()
    waits = [pace.after(1) for _ in range(1000)]
    assert waits.count(LONE_SECONDS) >= 0.95 * len(waits)
    assert max(waits) + COMMIT_SECONDS < 0.020


def test_requests_in_step_meet_although_no_two_are_close() -> None:
    requests, wait = groups_of([number / 225 for number in range(4500)])
    assert requests >= 2.5
    assert wait + COMMIT_SECONDS <= 0.020


def test_a_client_that_is_alone_again_soon_waits_as_little_as_before() -> None:
    pace = Pace()
    for _ in range(10):
        pace.after(3)
    waits = [pace.after(1) for _ in range(10)]
    assert waits == sorted(waits, reverse=True)
    assert waits[-1] == LONE_SECONDS


@pytest.mark.parametrize(("rate", "at_least"), [(225, 2.5), (500, 5), (2000, 15)])
def test_requests_meet_in_groups_from_a_few_hundred_a_second_on(rate: float, at_least: float) -> None:
    requests, wait = groups_at(rate, seconds=20)
    assert requests >= at_least
    assert wait + COMMIT_SECONDS <= 0.020


def test_groups_are_larger_while_the_workers_are_behind() -> None:
    requests, wait = groups_at(225, seconds=20, is_behind=True)
    assert requests >= 8
    assert wait <= LINGER_BEHIND_SECONDS


def test_few_requests_a_second_hardly_wait() -> None:
    _, wait = groups_at(10, seconds=60)
    assert wait <= 0.010


@given(st.lists(st.integers(1, 400)), st.booleans())
def test_the_pace_keeps_its_bounds(sizes: list[int], is_behind: bool) -> None:
    pace = Pace()
    longest = LINGER_BEHIND_SECONDS if is_behind else LINGER_SECONDS
    for size in sizes:
        assert min(LONE_SECONDS * size, PACE_SECONDS) <= pace.after(size, is_behind=is_behind) <= longest
