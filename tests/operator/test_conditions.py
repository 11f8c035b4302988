"""Times and transitions of conditions."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from cloudscale_operator.conditions import Condition, State, dated, transitions

EARLIER, LATER = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC)


def ready(status: State, reason: str = "Reason") -> Condition:
    return Condition("Ready", status, reason, "message")


def at(moment: datetime, condition: Condition, previous: list[dict[str, Any]] | None = None) -> list[dict[str, Any]]:
    return dated([condition], previous or [], generation=1, now=moment)


def test_the_time_of_a_transition_is_kept_while_the_status_stays() -> None:
    before = at(EARLIER, ready("False", "One"))
    (after,) = at(LATER, ready("False", "Another"), before)
    assert (after["lastTransitionTime"], after["reason"]) == ("2026-01-01T00:00:00Z", "Another")


def test_a_transition_has_its_own_time() -> None:
    (after,) = at(LATER, ready("True"), at(EARLIER, ready("False")))
    assert after["lastTransitionTime"] == "2026-01-02T00:00:00Z"


@pytest.mark.parametrize(
    ("before", "after", "is_news"),
    [
        ("True", "False", True),
        ("False", "True", True),
        ("Unknown", "True", True),
        (None, "True", True),
        (None, "False", False),
        ("Unknown", "False", False),
        ("True", "Unknown", False),
        ("True", "True", False),
    ],
)
def test_what_is_news(before: State | None, after: State, *, is_news: bool) -> None:
    previous = at(EARLIER, ready(before)) if before else []
    assert bool(transitions(previous, at(LATER, ready(after)))) is is_news
