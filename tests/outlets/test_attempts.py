from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as some

from cloudscale.outlets.attempts import FIRST_DELAY, LONGEST_DELAY, Attempts, failed
from cloudscale.outlets.receiver import LONGEST_WISH, Answer, parse_retry_after

NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)
DAY = timedelta(hours=24)


@given(jitters=some.lists(some.floats(0, 1, exclude_max=True), min_size=1, max_size=400))
def test_attempts_come_ever_later_up_to_a_bound_and_the_last_one_at_the_end(jitters: list[float]) -> None:
    attempts: Attempts | None = None
    now = NOW
    for number, jitter in enumerate(jitters):
        attempts = failed(attempts, Answer(500, "answers 500"), now=now, retry_for=DAY, jitter=jitter)
        delay = attempts.next_at - now
        assert attempts.count == number + 1
        assert timedelta(0) < delay <= LONGEST_DELAY
        if attempts.next_at < NOW + DAY:
            assert delay >= min(FIRST_DELAY * 2 ** min(number, 10), LONGEST_DELAY) / 2
        if now < NOW + DAY:
            assert attempts.next_at <= NOW + DAY
        now = attempts.next_at
    assert attempts is not None
    assert attempts.since == NOW
    assert attempts.is_over(now, retry_for=DAY) == (now >= NOW + DAY)


def test_no_attempt_is_made_before_the_receiver_wishes() -> None:
    answer = Answer(429, "answers 429", timedelta(hours=2))
    assert failed(None, answer, now=NOW, retry_for=DAY, jitter=0).next_at == NOW + timedelta(hours=2)


@pytest.mark.parametrize(
    ("text", "wish"),
    [
        ("", timedelta(0)),
        ("120", timedelta(seconds=120)),
        ("999999999999999999999", LONGEST_WISH),
        ("-5", timedelta(0)),
        ("soon", timedelta(0)),
        ("Sun, 29 Nov 2026 12:01:00 GMT", timedelta(seconds=60)),
        ("Sun, 29 Nov 2026 11:00:00 GMT", timedelta(0)),
        ("Mon, 29 Nov 2027 12:00:00 GMT", LONGEST_WISH),
    ],
)
def test_retry_after_is_read_in_both_its_forms(text: str, wish: timedelta) -> None:
    assert parse_retry_after(text, now=NOW) == wish
