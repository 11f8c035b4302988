"""Manifests of the pipelines under test."""

from __future__ import annotations

import uuid
from typing import Any

import yaml
from e2e.cluster import ROOT
from e2e.keys import SECRET

RUN = uuid.uuid4().hex[:6]
"""Part of names and ids, so that a run on a kept cluster finds nothing of an earlier one in its way."""

# Many pipelines share the nodes of one machine.
SMALL = {"requests": {"cpu": "25m", "memory": "96Mi"}, "limits": {"memory": "512Mi"}}
MANY_EVENTS = {"eventsBurst": 10_000_000, "eventsPerSecond": 10_000_000}
GENEROUS_LIMITS = {
    "perClient": {"burst": 100_000, "perSecond": 100_000, **MANY_EVENTS},
    "perKey": {"burst": 100_000, "perSecond": 100_000},
    "perTenant": {"burst": 100_000, "perSecond": 100_000, **MANY_EVENTS},
    "global": {"limit": 10_000_000, **MANY_EVENTS},
}


def sample() -> list[dict[str, Any]]:
    """What a user applies first, with the tests' keys."""
    documents: list[dict[str, Any]] = list(yaml.safe_load_all((ROOT / "kind/sample.yaml").read_text()))
    documents[0]["spec"]["access"] = {"keys": {"secretRef": {"name": SECRET}}}
    return documents


def bench() -> list[dict[str, Any]]:
    """The pinned pipeline of the measurements."""
    return list(yaml.safe_load_all((ROOT / "kind/bench.yaml").read_text()))


def pipeline(name: str, **spec: Any) -> dict[str, Any]:
    """A pipeline with the tests' keys, a queue and containers of its own, one replica and no dashboard."""
    defaults: dict[str, Any] = {
        "access": {"keys": {"secretRef": {"name": SECRET}}},
        # Where kind/keda.sh and kind/prometheus.sh install what reads figures.
        "networkPolicy": {"monitoringNamespaces": ["keda", "cloudscale-monitoring"]},
        "queue": {"name": name},
        "store": {"container": name},
        "ingestion": {"replicas": {"min": 1, "max": 1}, "rateLimits": GENEROUS_LIMITS, "resources": SMALL},
        "processing": {"concurrency": {"interval": "1s"}, "resources": SMALL},
        "dashboard": {"enabled": False},
    }
    merged = {part: _merge(defaults.get(part, {}), spec.get(part, {})) for part in defaults | spec}
    return {
        "apiVersion": "cloudscale.io/v1alpha1",
        "kind": "EventPipeline",
        "metadata": {"name": name},
        "spec": merged,
    }


def _merge(default: Any, given: Any) -> Any:
    """``given`` over ``default``, by member."""
    if not isinstance(default, dict) or not isinstance(given, dict):
        return given
    return default | {name: _merge(default.get(name, {}), value) for name, value in given.items()}
