"""Kubernetes Events about a pipeline: what changed, for ``kubectl describe evp`` and for alerting."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import structlog

from cloudscale.errors import BackendUnavailableError
from cloudscale_operator.api import ApiRefusalError, KubernetesApi
from cloudscale_operator.conditions import timestamp
from cloudscale_operator.names import OPERATOR

if TYPE_CHECKING:
    from datetime import datetime

    from cloudscale.pipeline import Concurrency
    from cloudscale_operator.kinds import Manifest

log = structlog.get_logger(__name__)

Severity = Literal["Normal", "Warning"]
MESSAGE_LENGTH = 1024
"""Longest message that the API server takes in an Event."""

GOOD = {"Paused": "False"}
"""The good status of conditions for which it is not True."""


@dataclass(frozen=True)
class KubernetesEvent:
    """A Kubernetes Event about a pipeline, at a moment."""

    severity: Severity
    reason: str
    message: str
    at: datetime


def named(pipeline: Manifest) -> dict[str, str]:
    """The fields that name a pipeline in a log line."""
    return {"namespace": pipeline["metadata"]["namespace"], "pipeline": pipeline["metadata"]["name"]}


async def record_event(api: KubernetesApi, pipeline: Manifest, event: KubernetesEvent) -> None:
    """Record an Event about a pipeline. Where the API server does not take it, it stands in the log only."""
    metadata, reason, message = pipeline["metadata"], event.reason, event.message
    log.info("Event recorded", reason=reason, message=message, **named(pipeline))
    now = timestamp(event.at)
    manifest = {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"generateName": f"{metadata['name']}.", "namespace": metadata["namespace"]},
        "involvedObject": {
            "apiVersion": pipeline["apiVersion"],
            "kind": pipeline["kind"],
            "name": metadata["name"],
            "namespace": metadata["namespace"],
            "uid": metadata["uid"],
            "resourceVersion": metadata["resourceVersion"],
        },
        "type": event.severity,
        "reason": reason,
        "message": message[:MESSAGE_LENGTH],
        "source": {"component": OPERATOR},
        "reportingComponent": OPERATOR,
        "firstTimestamp": now,
        "lastTimestamp": now,
        "count": 1,
    }
    try:
        await api.create(f"/api/v1/namespaces/{metadata['namespace']}/events", manifest)
    except (ApiRefusalError, BackendUnavailableError) as error:
        log.warning("Event could not be recorded", reason=reason, error=str(error), **named(pipeline))


def severity_of(condition: dict[str, Any]) -> Severity:
    """Whether a condition's new status is good news."""
    good = condition["status"] == GOOD.get(condition["type"], "True") or condition["reason"] in ("Paused", "SpecPaused")
    return "Normal" if good else "Warning"


class Thresholds:
    """Remembers which thresholds a queue is above, so that each crossing is recorded once.

    A threshold counts as left when the depth is below ``restoreBelow``; otherwise a depth that wavers around the
    threshold would be recorded again and again.
    """

    def __init__(self) -> None:
        self._passed = 0

    def crossed(self, concurrency: Concurrency, depth: int) -> list[tuple[Severity, str]]:
        """The Event to record about this depth: severity and message."""
        passed = sum(depth >= step.depth for step in concurrency.steps[1:])
        if passed > self._passed:
            messages = [
                f"the queue holds {depth} events, {step.depth} or more: a worker makes {step.limit} calls at once"
                for step in concurrency.steps[1 + self._passed : 1 + passed]
            ]
            self._passed = passed
            return [("Warning", text) for text in messages]
        if self._passed and depth < concurrency.restore_below:
            self._passed = 0
            limit = concurrency.steps[0].limit
            return [
                (
                    "Normal",
                    f"the queue is down to {depth} events: a worker makes {limit} calls at once again",
                )
            ]
        return []
