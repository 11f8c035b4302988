"""The rate of requests that the autoscaler sees."""

from __future__ import annotations

import pytest

from cloudscale.ingestion.request_rate import SAMPLES, RequestRate


class Traffic:
    """A clock and a count of requests."""

    def __init__(self) -> None:
        self.seconds = self.requests = 0.0
        self.rate = RequestRate(lambda: self.requests, clock=lambda: self.seconds)

    def run(self, seconds: int, *, per_second: float) -> None:
        for _ in range(seconds):
            self.seconds += 1
            self.requests += per_second
            self.rate.sample()


def test_there_is_no_rate_at_the_start() -> None:
    assert Traffic().rate.per_second == 0


def test_the_rate_is_what_came_in_a_second() -> None:
    traffic = Traffic()
    traffic.run(3, per_second=40)
    assert traffic.rate.per_second == pytest.approx(40)


def test_a_burst_is_forgotten_after_ten_seconds() -> None:
    traffic = Traffic()
    traffic.run(5, per_second=1000)
    traffic.run(SAMPLES, per_second=10)
    assert traffic.rate.per_second == pytest.approx(10)
