"""Which crossings of a depth threshold are recorded."""

from __future__ import annotations

import pytest

from cloudscale.pipeline import Concurrency
from cloudscale_operator.event_recorder import Thresholds, severity_of


def recorded(*depths: int) -> list[list[str]]:
    thresholds, concurrency = Thresholds(), Concurrency()
    return [[severity for severity, _ in thresholds.crossed(concurrency, depth)] for depth in depths]


def test_each_threshold_is_recorded_once() -> None:
    assert recorded(10, 5000, 6000, 10_000, 12_000) == [[], ["Warning"], [], ["Warning"], []]


def test_a_jump_over_two_thresholds_records_both() -> None:
    assert recorded(20_000) == [["Warning", "Warning"]]


def test_wavering_around_a_threshold_is_recorded_once() -> None:
    assert recorded(5001, 4999, 5001, 4999) == [["Warning"], [], [], []]


def test_relief_is_recorded_and_arms_the_thresholds_again() -> None:
    assert recorded(5001, 999, 998, 5001) == [["Warning"], ["Normal"], [], ["Warning"]]


def test_the_message_says_what_follows_from_the_depth() -> None:
    ((_, message),) = Thresholds().crossed(Concurrency(), 5001)
    assert message == "the queue holds 5001 events, 5000 or more: a worker makes 16 calls at once"


@pytest.mark.parametrize(
    ("condition", "severity"),
    [
        ({"type": "Ready", "status": "True", "reason": "AllAvailable"}, "Normal"),
        ({"type": "Ready", "status": "False", "reason": "BrokerUnreachable"}, "Warning"),
        ({"type": "Paused", "status": "True", "reason": "SpecPaused"}, "Normal"),
        ({"type": "Paused", "status": "False", "reason": "Running"}, "Normal"),
        ({"type": "WorkersAvailable", "status": "False", "reason": "Paused"}, "Normal"),
    ],
)
def test_bad_news_is_a_warning(condition: dict[str, str], severity: str) -> None:
    assert severity_of(condition) == severity
