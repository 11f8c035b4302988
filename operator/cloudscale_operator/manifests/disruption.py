"""PodDisruptionBudgets: a node that is emptied takes one replica of a role at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cloudscale_operator.kinds import DISRUPTION_BUDGET, Manifest
from cloudscale_operator.names import INGESTION, WORKER, object_name, selector_labels

if TYPE_CHECKING:
    from cloudscale.pipeline import EventPipeline


def build_disruption_budgets(pipeline: EventPipeline) -> list[Manifest]:
    """One budget for ingestion and one for the workers."""
    return [_budget(pipeline, component) for component in (INGESTION, WORKER)]


def _budget(pipeline: EventPipeline, component: str) -> Manifest:
    name = pipeline.metadata.name
    return {
        "apiVersion": DISRUPTION_BUDGET.api_version,
        "kind": DISRUPTION_BUDGET.kind,
        "metadata": {"name": object_name(name, component), "labels": selector_labels(name, component)},
        "spec": {
            # Not minAvailable: with a single replica that would keep the node from ever being emptied.
            "maxUnavailable": 1,
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
            "selector": {"matchLabels": selector_labels(name, component)},
        },
    }
