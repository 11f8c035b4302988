from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from cloudscale.circuit_breaker import CircuitBreaker, CircuitOpenError
from cloudscale.errors import BackendUnavailableError


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def breaker(clock: Clock) -> CircuitBreaker:
    return CircuitBreaker(
        failure_ratio=0.5,
        window=timedelta(seconds=30),
        minimum_calls=10,
        open_for=timedelta(seconds=20),
        backend="store",
        clock=clock,
    )


def fail(breaker: CircuitBreaker, times: int) -> None:
    for _ in range(times):
        breaker.before_call()
        breaker.record_failure()


def succeed(breaker: CircuitBreaker, times: int) -> None:
    for _ in range(times):
        breaker.before_call()
        breaker.record_success()


def test_it_stays_closed_below_the_minimum_of_calls(breaker: CircuitBreaker) -> None:
    fail(breaker, 9)
    assert breaker.state == "closed"


def test_it_opens_when_the_share_of_failures_is_reached(breaker: CircuitBreaker) -> None:
    succeed(breaker, 6)
    fail(breaker, 5)
    just_below = breaker.state
    fail(breaker, 1)
    assert (just_below, breaker.state) == ("closed", "open")


def test_an_open_circuit_refuses_calls_and_says_for_how_long(breaker: CircuitBreaker, clock: Clock) -> None:
    fail(breaker, 10)
    clock.now += 5
    with pytest.raises(CircuitOpenError, match=r"store failed.*15\.0 s") as raised:
        breaker.before_call()
    assert raised.value.retry_after_seconds == pytest.approx(15)
    assert isinstance(raised.value, BackendUnavailableError)


def test_failures_older_than_the_window_do_not_count(breaker: CircuitBreaker, clock: Clock) -> None:
    fail(breaker, 9)
    clock.now += 31
    fail(breaker, 1)
    assert breaker.state == "closed"


def test_after_the_pause_one_probe_passes_and_no_second(breaker: CircuitBreaker, clock: Clock) -> None:
    fail(breaker, 10)
    clock.now += 20
    assert breaker.state == "half-open"
    breaker.before_call()
    with pytest.raises(CircuitOpenError):
        breaker.before_call()


def test_a_successful_probe_closes_it_and_forgets_the_failures(breaker: CircuitBreaker, clock: Clock) -> None:
    fail(breaker, 10)
    clock.now += 20
    succeed(breaker, 1)
    assert breaker.state == "closed"
    fail(breaker, 9)
    assert breaker.state == "closed"


def test_a_failed_probe_opens_it_for_the_whole_pause_again(breaker: CircuitBreaker, clock: Clock) -> None:
    fail(breaker, 10)
    clock.now += 20
    fail(breaker, 1)
    assert breaker.state == "open"
    clock.now += 19
    with pytest.raises(CircuitOpenError):
        breaker.before_call()


def test_a_probe_that_is_never_answered_is_followed_by_another(breaker: CircuitBreaker, clock: Clock) -> None:
    fail(breaker, 10)
    clock.now += 20
    breaker.before_call()
    clock.now += 20
    breaker.before_call()


def test_answers_to_calls_made_before_it_opened_change_nothing(breaker: CircuitBreaker, clock: Clock) -> None:
    fail(breaker, 10)
    clock.now += 10
    breaker.record_success()
    breaker.record_failure()
    still = breaker.state
    clock.now += 10
    assert (still, breaker.state) == ("open", "half-open")


@given(
    st.lists(
        st.tuples(st.floats(min_value=0, max_value=4), st.booleans()),
        max_size=200,
    )
)
def test_the_sliced_window_agrees_with_an_exact_one_within_a_slice(calls: list[tuple[float, bool]]) -> None:
    clock = Clock()
    breaker = CircuitBreaker(
        failure_ratio=1.0,
        window=timedelta(seconds=30),
        minimum_calls=5,
        open_for=timedelta(seconds=1),
        clock=clock,
    )
    history: list[tuple[float, bool]] = []
    for wait, failed in calls:
        clock.now += wait
        history.append((clock.now, failed))
        if failed:
            breaker.record_failure()
        else:
            breaker.record_success()
        # A slice is one second here: calls of the last 29 s surely count, those older than 31 s surely do not.
        surely = [bad for when, bad in history if when > clock.now - 29]
        perhaps = [bad for when, bad in history if when > clock.now - 31]
        if breaker.state == "open":
            assert failed
            assert all(surely)
            assert len(perhaps) >= 5
            return
        assert not (failed and len(surely) >= 5 and all(perhaps))


def test_an_outage_is_logged_once_when_it_begins_and_once_when_it_ends(breaker: CircuitBreaker, clock: Clock) -> None:
    with capture_logs() as lines:
        succeed(breaker, 5)
        for _ in range(10):
            breaker.record_failure(BackendUnavailableError("no answer"))
        for _ in range(3):
            clock.now += 20
            fail(breaker, 1)
        clock.now += 20
        succeed(breaker, 2)

    opened, closed = lines
    assert (opened["log_level"], closed["log_level"]) == ("warning", "info")
    assert (opened["event"], opened["backend"]) == ("circuit breaker opened: no calls are made", "store")
    assert (opened["error"], opened["failed"], opened["probe_after_seconds"]) == ("no answer", 5, 20)
    assert (closed["event"], closed["open_seconds"]) == ("circuit breaker closed: calls are made again", 80)
