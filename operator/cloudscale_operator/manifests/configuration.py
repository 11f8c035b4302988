"""The ConfigMap that holds the resource for the services, and the hash that rolls their pods when it matters."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from cloudscale.pipeline import EventPipeline, as_document
from cloudscale_operator.kinds import CONFIG_MAP, Manifest
from cloudscale_operator.names import CONFIGURATION_FILE, PIPELINE_CONFIGURATION, object_name

# No service reads these, so a change of them (a scaled or paused pipeline) must not restart any.
_ONLY_FOR_THE_OPERATOR = (
    *("paused", "identity", "expose", "placement", "deletion", "drainDeadline", "dashboard", "networkPolicy"),
    *("replicas", "requestsPerReplica", "resources", "serviceMonitor"),
)


def build_configuration(pipeline: EventPipeline) -> Manifest:
    """The ConfigMap with the resource, every default written out."""
    return {
        "apiVersion": CONFIG_MAP.api_version,
        "kind": CONFIG_MAP.kind,
        "metadata": {"name": object_name(pipeline.metadata.name, PIPELINE_CONFIGURATION)},
        "data": {CONFIGURATION_FILE: json.dumps(_document(pipeline), indent=2, sort_keys=True) + "\n"},
    }


def configuration_hash(pipeline: EventPipeline, *, with_outlets: bool = False) -> str:
    """A digest of what the services read at their start."""
    spec: dict[str, Any] = _document(pipeline)["spec"]
    read = {name: section for name, section in spec.items() if name not in _ONLY_FOR_THE_OPERATOR}
    for part in ("ingestion", "processing", "telemetry"):
        read[part] = {name: value for name, value in read[part].items() if name not in _ONLY_FOR_THE_OPERATOR}
    # Read by who sends to them alone, so that a new receiver restarts nobody else.
    outlets = read.pop("outlets")
    if with_outlets:
        read["outlets"] = outlets
    return hashlib.sha256(json.dumps(read, sort_keys=True).encode()).hexdigest()[:16]


def _document(pipeline: EventPipeline) -> dict[str, Any]:
    document = as_document(pipeline)
    # Generation, labels and annotations change without any meaning to a service.
    document["metadata"] = {"name": pipeline.metadata.name, "namespace": pipeline.metadata.namespace}
    return document
