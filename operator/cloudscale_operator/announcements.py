"""Kubernetes Events about a pipeline: what changed, for ``kubectl describe evp`` and for alerting."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

import structlog

from cloudscale.errors import BackendUnavailableError
from cloudscale_operator.api import ApiRefusalError, KubernetesApi
from cloudscale_operator.conditions import timestamp
from cloudscale_operator.names import OPERATOR

if TYPE_CHECKING:
    from cloudscale.pipeline import Concurrency
    from cloudscale_operator.kinds import Manifest

log = structlog.get_logger(__name__)

Severity = Literal["Normal", "Warning"]
MESSAGE_LENGTH = 1024
"""Longest message that the API server takes in an Event."""

GOOD = {"Paused": "False"}
"""The good status of conditions for which it is not True."""


async def announce(api: KubernetesApi, pipeline: Manifest, *, severity: Severity, reason: str, message: str) -> None:
    """Record an Event about a pipeline. It is a courtesy: where it is refused, the log has to do."""
    metadata = pipeline["metadata"]
    log.info("event", namespace=metadata["namespace"], pipeline=metadata["name"], reason=reason, message=message)
    now = timestamp(datetime.now(UTC))
    event = {
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
        "type": severity,
        "reason": reason,
        "message": message[:MESSAGE_LENGTH],
        "source": {"component": OPERATOR},
        "reportingComponent": OPERATOR,
        "firstTimestamp": now,
        "lastTimestamp": now,
        "count": 1,
    }
    try:
        await api.create(f"/api/v1/namespaces/{metadata['namespace']}/events", event)
    except (ApiRefusalError, BackendUnavailableError) as error:
        log.warning("event_not_recorded", pipeline=metadata["name"], reason=reason, error=str(error))


def severity_of(condition: dict[str, Any]) -> Severity:
    """Whether a condition's new status is good news."""
    good = condition["status"] == GOOD.get(condition["type"], "True") or condition["reason"] in ("Paused", "SpecPaused")
    return "Normal" if good else "Warning"


class Thresholds:
    """Remembers which thresholds a queue is above, so that each crossing is announced once.

    A threshold counts as left when the depth is below ``restoreBelow``, or a depth that wavers around it would be
    announced again and again.
    """

    def __init__(self) -> None:
        self._passed = 0

    def crossed(self, concurrency: Concurrency, depth: int) -> list[tuple[Severity, str]]:
        """What to announce about this depth: severity and message."""
        passed = sum(depth >= step.depth for step in concurrency.steps[1:])
        if passed > self._passed:
            news = [
                f"the queue holds {depth} events, {step.depth} or more: workers handle {step.limit} at once each"
                for step in concurrency.steps[1 + self._passed : 1 + passed]
            ]
            self._passed = passed
            return [("Warning", text) for text in news]
        if self._passed and depth < concurrency.restore_below:
            self._passed = 0
            limit = concurrency.steps[0].limit
            return [("Normal", f"the queue is down to {depth} events: workers handle {limit} at once each again")]
        return []
