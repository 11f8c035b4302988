"""When a deletion may end."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.operator.examples import pipeline

from cloudscale.ledger.backlog import Backlog
from cloudscale_operator.depth import Reading
from cloudscale_operator.drain import Drain, evaluate

START = datetime(2026, 1, 1, tzinfo=UTC)


def after(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def reading(seconds: float, active: int = 0, dead_letters: int = 0, scheduled: int = 0) -> Reading:
    return Reading(
        after(seconds), Backlog(events=10 * active, messages=active, dead_letters=dead_letters, scheduled=scheduled)
    )


def look(at: float, *readings: Reading, stopped: float | None = None, spec: dict[str, Any] | None = None) -> Drain:
    moment = None if stopped is None else after(stopped)
    return evaluate(pipeline(spec or {}), readings, started=START, stopped=moment, now=after(at))


def test_an_immediate_deletion_ends_at_once() -> None:
    assert look(0, spec={"deletion": "Immediate"}).done


def test_an_empty_queue_ends_the_drain() -> None:
    judgement = look(10, reading(7), reading(9), stopped=5)
    assert (judgement.done, judgement.reason, judgement.forced) == (True, "Drained", False)


@pytest.mark.parametrize(
    "readings",
    [
        [reading(9)],
        [reading(8.5), reading(9)],
        [reading(4), reading(9)],
        [reading(6), reading(7, active=1), reading(9)],
        [reading(6), Reading(after(7), None, "the broker is away"), reading(9)],
    ],
    ids=["one", "too close", "before the intake stopped", "one message in between", "an outage in between"],
)
def test_a_single_empty_reading_proves_nothing(readings: list[Reading]) -> None:
    judgement = look(10, *readings, stopped=5)
    assert (judgement.done, judgement.reason) == (False, "Draining")


def test_what_stays_in_an_empty_queue_is_told() -> None:
    left = [reading(moment, dead_letters=2, scheduled=3) for moment in (7, 9)]
    message = look(10, *left, stopped=5).message
    assert "3 scheduled and 2 dead-lettered messages stay" in message


def test_nothing_ends_while_ingestion_may_still_send() -> None:
    judgement = look(10, reading(9))
    assert (judgement.done, judgement.reason) == (False, "StoppingIntake")


def test_a_reading_from_before_the_intake_stopped_proves_nothing() -> None:
    assert not look(10, reading(4), stopped=5).done


def test_messages_in_the_queue_are_waited_for() -> None:
    judgement = look(10, reading(9, active=7), stopped=5)
    assert (judgement.done, judgement.reason) == (False, "Draining")
    assert "70 events" in judgement.message


def test_a_depth_that_was_never_read_is_told() -> None:
    assert "the depth has not been read yet" in look(10, stopped=5).message


def test_the_deadline_ends_the_drain_and_tells_what_is_left() -> None:
    judgement = look(601, reading(600, active=7), stopped=5)
    assert (judgement.done, judgement.reason, judgement.forced) == (True, "DrainDeadlineExceeded", True)
    assert "70 events were left" in judgement.message


def test_a_broker_that_cannot_be_read_is_waited_for_until_the_deadline() -> None:
    unreadable = Reading(after(9), None, "the broker is away")
    assert not look(10, unreadable, stopped=5).done
    judgement = look(601, unreadable, stopped=5)
    assert judgement.done
    assert "the broker is away" in judgement.message
