"""How often an address may be wrong."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from cloudscale.access import attempts as module
from cloudscale.access.attempts import AttemptLimits, FailedAttempts

LIMITS = AttemptLimits(burst=3, per_second=0.5)


def test_an_address_may_be_wrong_a_few_times_and_then_has_to_wait() -> None:
    attempts = FailedAttempts(LIMITS)
    for _ in range(3):
        assert attempts.wait_seconds("a", now_seconds=0.0) == 0
        attempts.note("a", now_seconds=0.0)

    assert attempts.wait_seconds("a", now_seconds=0.0) == 2.0
    assert attempts.wait_seconds("a", now_seconds=2.0) == 0


def test_others_do_not_wait() -> None:
    attempts = FailedAttempts(LIMITS)
    for _ in range(5):
        attempts.note("a", now_seconds=0.0)

    assert attempts.wait_seconds("b", now_seconds=0.0) == 0


def test_the_memory_is_bounded() -> None:
    attempts = FailedAttempts(LIMITS)
    for number in range(module.TRACKED_ADDRESSES + 10):
        attempts.note(str(number), now_seconds=0.0)

    assert len(attempts._buckets) == module.TRACKED_ADDRESSES


@given(st.lists(st.floats(0, 20), max_size=60))
def test_no_span_has_more_wrong_attempts_than_the_limits_say(pauses: list[float]) -> None:
    attempts, now = FailedAttempts(LIMITS), 0.0
    wrong: list[float] = []
    for pause in pauses:
        now += pause
        if attempts.wait_seconds("a", now_seconds=now) == 0:
            attempts.note("a", now_seconds=now)
            wrong.append(now)
    for first, start in enumerate(wrong):
        for last in range(first, len(wrong)):
            assert last - first + 1 <= 3 + (wrong[last] - start) * 0.5 + 1e-6
