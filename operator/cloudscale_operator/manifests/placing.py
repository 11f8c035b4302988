"""Where a pod may run: node selection, spreading and pinning."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from cloudscale_operator.names import selector_labels

if TYPE_CHECKING:
    from cloudscale.pipeline import EventPipeline

ZONE = "topology.kubernetes.io/zone"
NODE = "kubernetes.io/hostname"


def build_placement(pipeline: EventPipeline, component: str) -> dict[str, Any]:
    """The scheduling part of a pod's specification."""
    placement = pipeline.spec.placement
    labels = selector_labels(pipeline.metadata.name, component)
    affinity = copy.deepcopy(placement.affinity)
    specification: dict[str, Any] = {}
    if placement.pin_to:
        _require_node_label(affinity, placement.pin_to)
    elif placement.spread:
        specification["topologySpreadConstraints"] = [
            {
                "maxSkew": 1,
                "topologyKey": ZONE,
                # A cluster without zones, or with one that is full, runs the pod all the same.
                "whenUnsatisfiable": "ScheduleAnyway",
                "labelSelector": {"matchLabels": labels},
            }
        ]
        affinity.setdefault("podAntiAffinity", {}).setdefault(
            "preferredDuringSchedulingIgnoredDuringExecution", []
        ).append(
            {
                "weight": 100,
                "podAffinityTerm": {"topologyKey": NODE, "labelSelector": {"matchLabels": labels}},
            }
        )
    if placement.node_selector:
        specification["nodeSelector"] = dict(placement.node_selector)
    if placement.tolerations:
        specification["tolerations"] = [dict(toleration) for toleration in placement.tolerations]
    return specification | ({"affinity": affinity} if affinity else {})


def _require_node_label(affinity: dict[str, Any], label: str) -> None:
    key, equals, value = label.partition("=")
    expression = {"key": key, "operator": "In", "values": [value]} if equals else {"key": key, "operator": "Exists"}
    required = affinity.setdefault("nodeAffinity", {}).setdefault("requiredDuringSchedulingIgnoredDuringExecution", {})
    # Terms are alternatives, so a condition that always holds has to be part of each of them.
    for term in required.setdefault("nodeSelectorTerms", [{}]):
        term.setdefault("matchExpressions", []).append(expression)
