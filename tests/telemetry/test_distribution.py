from __future__ import annotations

from bisect import bisect_left

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudscale.telemetry.distribution import Distribution

BOUNDS = (0.1, 0.2, 0.5, 1.0, 5.0)
amounts = st.lists(st.floats(min_value=0, max_value=10), max_size=60)


def observed(values: list[float]) -> Distribution:
    counts = [0.0] * (len(BOUNDS) + 1)
    for value in values:
        counts[bisect_left(BOUNDS, value)] += 1
    return Distribution(bounds=BOUNDS, counts=tuple(counts), total=sum(values))


@given(amounts, amounts)
def test_taking_away_what_was_added_leaves_what_was_there(first: list[float], second: list[float]) -> None:
    both = observed(first) + observed(second)

    assert (both - observed(first)).counts == observed(second).counts
    assert both.count == len(first) + len(second)


@given(st.lists(st.floats(min_value=0, max_value=4.9), min_size=1, max_size=60), st.floats(min_value=0, max_value=1))
def test_a_quantile_lies_in_the_bucket_of_the_true_one(values: list[float], share: float) -> None:
    quantile = observed(values).quantile(share)

    assert quantile is not None
    rank = max(1, -(-share * len(values) // 1))
    true = sorted(values)[int(min(rank, len(values))) - 1]
    bucket = bisect_left(BOUNDS, true)
    lower = BOUNDS[bucket - 1] if bucket else 0.0
    assert lower - 1e-9 <= quantile <= BOUNDS[bucket] + 1e-9


@given(st.lists(st.floats(min_value=0, max_value=10), min_size=1))
def test_quantiles_rise_with_their_share(values: list[float]) -> None:
    quantiles = [observed(values).quantile(share / 10) for share in range(11)]

    assert quantiles == sorted(quantiles, key=lambda value: value or 0)


def test_a_quantile_above_all_bounds_is_the_last_bound() -> None:
    assert observed([9.0, 9.5]).quantile(0.99) == 5.0


def test_nothing_observed_has_no_quantile_no_mean_and_no_share() -> None:
    empty = Distribution()

    assert empty.quantile(0.5) is None
    assert empty.mean is None
    assert empty.share_within(1.0) is None


def test_the_share_within_a_bound_counts_what_equals_it() -> None:
    assert observed([0.1, 0.2, 0.2, 0.3]).share_within(0.2) == pytest.approx(0.75)


def test_an_empty_distribution_adds_nothing() -> None:
    some = observed([0.3])

    assert some + Distribution() == some
    assert Distribution() + some == some
    assert some - Distribution() == some


def test_distributions_of_two_versions_add_up_on_the_bounds_that_both_have() -> None:
    former = Distribution(bounds=(1.0, 60.0, 300.0), counts=(1.0, 2.0, 3.0, 4.0), total=10.0)
    newer = Distribution(bounds=(1.0, 60.0, 120.0, 300.0, 600.0), counts=(1.0, 1.0, 1.0, 1.0, 1.0, 1.0), total=5.0)

    both = former + newer

    assert both == newer + former
    assert both == Distribution(bounds=(1.0, 60.0, 300.0), counts=(2.0, 3.0, 5.0, 6.0), total=15.0)
