from hypothesis import given
from hypothesis import strategies as st

from cloudscale.pipeline import Concurrency, ConcurrencyStep
from cloudscale.pipeline.backpressure import concurrency_limit

DEFAULT = Concurrency()


def test_a_shallow_queue_has_the_first_limit() -> None:
    assert concurrency_limit(DEFAULT, 0, None) == 32


def test_each_step_holds_from_its_own_depth_on() -> None:
    assert [concurrency_limit(DEFAULT, depth, 32) for depth in (4999, 5000, 9999, 10_000, 10**9)] == [32, 16, 16, 4, 4]


def test_the_last_limit_holds_between_restore_and_the_second_step() -> None:
    assert concurrency_limit(DEFAULT, 4999, 4) == 4
    assert concurrency_limit(DEFAULT, 1000, 16) == 16


def test_the_first_limit_is_restored_below_the_threshold() -> None:
    assert concurrency_limit(DEFAULT, 999, 4) == 32


def test_without_a_last_limit_the_first_holds_in_between() -> None:
    assert concurrency_limit(DEFAULT, 3000, None) == 32


def test_a_limit_that_the_edited_resource_no_longer_has_is_given_up() -> None:
    assert concurrency_limit(DEFAULT, 3000, 7) == 32


def test_a_single_step_holds_at_every_depth() -> None:
    single = Concurrency(steps=(ConcurrencyStep(depth=0, limit=8),))
    assert {concurrency_limit(single, depth, 8) for depth in (0, 1000, 10**9)} == {8}


@given(st.lists(st.integers(min_value=0, max_value=20_000), min_size=1, max_size=50))
def test_the_limit_changes_only_by_crossing_a_threshold(depths: list[int]) -> None:
    current: int | None = None
    for depth in depths:
        limit = concurrency_limit(DEFAULT, depth, current)
        if depth < 1000:
            assert limit == 32
        elif depth < 5000:
            assert limit == (current or 32)
        else:
            assert limit == (16 if depth < 10_000 else 4)
        current = limit
