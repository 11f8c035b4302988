"""Conditions as in ``metav1.Condition``: what holds, why, and since when."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

State = Literal["True", "False", "Unknown"]


@dataclass(frozen=True)
class Condition:
    """One condition, before it is dated."""

    type: str
    status: State
    reason: str
    message: str

    @property
    def holds(self) -> bool:
        """Whether it is true; unknown is not."""
        return self.status == "True"


def dated(
    conditions: Iterable[Condition], previous: Sequence[dict[str, Any]], *, generation: int, now: datetime
) -> list[dict[str, Any]]:
    """As they stand in the status: the time of the transition is kept while the status of a condition stays."""
    former = {condition["type"]: condition for condition in previous}
    return [
        {
            "type": condition.type,
            "status": condition.status,
            "observedGeneration": generation,
            "lastTransitionTime": former[condition.type]["lastTransitionTime"]
            if former.get(condition.type, {}).get("status") == condition.status
            else timestamp(now),
            "reason": condition.reason,
            "message": condition.message,
        }
        for condition in conditions
    ]


def transitions(previous: Sequence[dict[str, Any]], current: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The conditions whose status is another than it was; one that was not known before is news only if it holds."""
    former = {condition["type"]: condition["status"] for condition in previous}
    return [
        condition
        for condition in current
        if (former.get(condition["type"], "Unknown"), condition["status"])
        in {("True", "False"), ("False", "True"), ("Unknown", "True")}
    ]


def timestamp(moment: datetime) -> str:
    """RFC 3339 to the second, as the API server writes times."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
