"""The CustomResourceDefinition of EventPipeline, generated from the models of ``cloudscale.pipeline``.

``crds/eventpipelines.yaml`` is what :func:`render` returns, checked in so that ``kubectl apply -f crds/`` needs no
Python; a test proves that they agree. The schema is structural (apiextensions.k8s.io/v1): no references, a type at
every node, ``additionalProperties`` only for maps, so that the API server can prune and fill in defaults.
"""

from __future__ import annotations

from typing import Any

import yaml

from cloudscale.pipeline import (
    GROUP,
    KIND,
    MAX_NAME_LENGTH,
    PLURAL,
    SHORT_NAME,
    VERSION,
    Schema,
    pipeline_schema,
)
from cloudscale.pipeline.json_schemas import DRAFT, REFERENCE_PATTERN, REFUSED_KEYWORDS

NAME = f"{PLURAL}.{GROUP}"
PHASES = ("Pending", "Progressing", "Ready", "Degraded", "Paused", "Draining", "Failed")
CONDITIONS = (
    "Ready",
    "BackendsReachable",
    "IngestionAvailable",
    "WorkersAvailable",
    "ScalingActive",
    "Paused",
    "Exposed",
)

_LEFT_TO_THE_API_SERVER = ("apiVersion", "kind", "metadata")


def custom_resource_definition() -> dict[str, Any]:
    """The manifest to apply to a cluster."""
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": NAME, "labels": {"app.kubernetes.io/part-of": "cloudscale"}},
        "spec": {
            "group": GROUP,
            "names": {
                "kind": KIND,
                "listKind": f"{KIND}List",
                "plural": PLURAL,
                "singular": KIND.lower(),
                "shortNames": [SHORT_NAME],
                "categories": ["all", "cloudscale"],
            },
            "scope": "Namespaced",
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": structural_schema()},
                    "subresources": {
                        "status": {},
                        # KEDA decides between min and max, so what `kubectl scale` may move is the lower bound.
                        "scale": {
                            "specReplicasPath": ".spec.processing.replicas.min",
                            "statusReplicasPath": ".status.replicas.workers",
                            "labelSelectorPath": ".status.selector",
                        },
                    },
                    "additionalPrinterColumns": [
                        _column("Ready", "string", '.status.conditions[?(@.type=="Ready")].status'),
                        _column("Phase", "string", ".status.phase"),
                        _column("Depth", "integer", ".status.queueDepth"),
                        _column("DLQ", "integer", ".status.deadLetters"),
                        _column("Workers", "integer", ".status.replicas.workers"),
                        _column("Concurrency", "integer", ".status.concurrency"),
                        _column("Age", "date", ".metadata.creationTimestamp"),
                    ],
                }
            ],
        },
    }


def structural_schema() -> Schema:
    """The resource's schema as the API server takes it, status included."""
    document = _structural(pipeline_schema())
    for name in _LEFT_TO_THE_API_SERVER:
        document["properties"][name] = {"type": "object"} if name == "metadata" else {"type": "string"}
    document["properties"]["status"] = status_schema()
    event_type = document["properties"]["spec"]["properties"]["eventTypes"]["items"]["properties"]
    event_type["schema"] |= _closed_schema()
    del document["required"]
    # The schema may say nothing about metadata itself, but a rule at the root may read its name.
    document["x-kubernetes-validations"] = [
        {
            "rule": f"size(self.metadata.name) <= {MAX_NAME_LENGTH} && self.metadata.name.matches('^[a-z][-a-z0-9]*$')",
            "message": f"metadata.name must have at most {MAX_NAME_LENGTH} characters, lower-case letters, digits and "
            "dashes, a letter first: the names of Services are made from it",
        }
    ]
    return document


def _closed_schema() -> Schema:
    """What an event type's schema may not say at its root; deeper down the operator and the services refuse it.

    A structural schema cannot refer to itself, and a CEL rule cannot read a name with a dollar sign.
    """
    return {
        "properties": {
            "$ref": {
                "type": "string",
                "description": "One of its own definitions.",
                "maxLength": 1024,
                "pattern": REFERENCE_PATTERN,
            },
            "$schema": {"type": "string", "description": "The draft, if it is named.", "enum": [DRAFT]},
        },
        "not": {"anyOf": [{"required": [keyword]} for keyword in REFUSED_KEYWORDS]},
    }


def status_schema() -> Schema:
    """What the operator reports."""
    replicas = {role: _integer(f"Ready replicas of {role}.", "int32") for role in ("ingestion", "workers", "dashboard")}
    return {
        "type": "object",
        "description": "What the operator observed; it writes this, nobody else.",
        "properties": {
            "phase": {
                "type": "string",
                "enum": list(PHASES),
                "description": "The state in one word, drawn from the conditions.",
            },
            "observedGeneration": _integer("Generation of the specification that this status speaks of."),
            "conditions": {
                "type": "array",
                "description": f"{', '.join(CONDITIONS)}, each with the reason and a message to act on.",
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["type"],
                "items": _condition(),
            },
            "queueDepth": _integer("Events that wait in the queue or are being processed."),
            "queueMessages": _integer("Messages that hold them, by which KEDA scales the workers."),
            "oldestEventSeconds": _integer("How long ago the oldest of them was accepted, by a sample."),
            "deadLetters": _integer("Messages in the dead-letter queue."),
            "scheduled": _integer("Messages that become visible later, such as looks at filled carts."),
            "concurrency": _integer("Calls to the store that one worker has in flight at this depth.", "int32"),
            "lastDepthReading": {
                "type": "string",
                "format": "date-time",
                "description": "When the depth was read for the last time.",
            },
            "replicas": {"type": "object", "description": "Ready replicas of each role.", "properties": replicas},
            "selector": {"type": "string", "description": "Label selector of the worker pods, for autoscalers."},
            "endpoint": {"type": "string", "description": "Where clients reach ingestion."},
        },
    }


def render() -> str:
    """The manifest as YAML: the content of ``crds/eventpipelines.yaml``."""
    header = "# Generated from apps/cloudscale/pipeline by `cloudscale schema`; change the models, not this file.\n"
    return header + yaml.dump(custom_resource_definition(), Dumper=_Dumper, sort_keys=False, width=120)


class _Dumper(yaml.SafeDumper):
    """YAML without anchors: the same default stands in several places, and a reader should see it in each."""

    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002 - the signature is PyYAML's
        return True


def _structural(node: Schema) -> Schema:
    node = dict(node)
    if "properties" in node:
        node["properties"] = {name: _structural(field) for name, field in node["properties"].items()}
        # Unknown fields are refused by `kubectl` and pruned by the API server; a structural schema may not say so.
        node.pop("additionalProperties", None)
    elif "additionalProperties" in node:
        node["additionalProperties"] = _structural(node["additionalProperties"])
    if "items" in node:
        node["items"] = _structural(node["items"])
    if "enum" in node:
        node.setdefault("type", "string")
    for bound in ("Minimum", "Maximum"):  # OpenAPI 3.0 follows draft 4, where exclusiveMinimum is a boolean
        if f"exclusive{bound}" in node:
            node[bound.lower()] = node[f"exclusive{bound}"]
            node[f"exclusive{bound}"] = True
    return node


def _condition() -> Schema:
    """As ``metav1.Condition``."""
    return {
        "type": "object",
        "required": ["type", "status", "lastTransitionTime", "reason", "message"],
        "properties": {
            "type": {"type": "string", "maxLength": 316, "description": "What the condition is about."},
            "status": {
                "type": "string",
                "enum": ["True", "False", "Unknown"],
                "description": "Whether it holds; Unknown when the operator cannot tell.",
            },
            "observedGeneration": _integer("Generation of the specification that the condition speaks of."),
            "lastTransitionTime": {
                "type": "string",
                "format": "date-time",
                "description": "When the status changed for the last time.",
            },
            "reason": {"type": "string", "maxLength": 1024, "description": "The cause in one CamelCase word."},
            "message": {"type": "string", "maxLength": 32768, "description": "What happened and what to do about it."},
        },
    }


def _integer(description: str, width: str = "int64") -> Schema:
    return {"type": "integer", "format": width, "minimum": 0, "description": description}


def _column(name: str, kind: str, path: str) -> dict[str, str]:
    return {"name": name, "type": kind, "jsonPath": path}
