"""Scraping by a Prometheus operator, and its alerting rules, where the cluster has those kinds."""

from __future__ import annotations

from string import Template
from typing import TYPE_CHECKING, Any

import yaml

from cloudscale_operator.kinds import PROMETHEUS_RULE, SERVICE_MONITOR, Manifest
from cloudscale_operator.names import PIPELINE_LABEL, object_name

if TYPE_CHECKING:
    from cloudscale.pipeline import EventPipeline
    from cloudscale_operator.context import Context

SCRAPE_INTERVAL = "15s"


def build_monitoring(pipeline: EventPipeline, context: Context) -> list[Manifest]:
    """A ServiceMonitor for all roles, and a PrometheusRule when the operator was given rules."""
    if not pipeline.spec.telemetry.service_monitor:
        return []
    built = []
    if SERVICE_MONITOR in context.available:
        built.append(_monitor(pipeline))
    if PROMETHEUS_RULE in context.available and context.alerting_rules:
        built.append(_rule(pipeline, context.alerting_rules))
    return built


def _monitor(pipeline: EventPipeline) -> Manifest:
    name = pipeline.metadata.name
    return {
        "apiVersion": SERVICE_MONITOR.api_version,
        "kind": SERVICE_MONITOR.kind,
        "metadata": {"name": object_name(name, "metrics")},
        "spec": {
            "selector": {"matchLabels": {PIPELINE_LABEL: name}},
            "targetLabels": [PIPELINE_LABEL],
            "endpoints": [{"port": port, "interval": SCRAPE_INTERVAL} for port in ("http", "metrics")],
        },
    }


def _rule(pipeline: EventPipeline, text: str) -> Manifest:
    # Prometheus has placeholders of its own ($labels, $value), which safe_substitute leaves as they are.
    filled = Template(text).safe_substitute(pipeline=pipeline.metadata.name, namespace=pipeline.metadata.namespace)
    groups: Any = yaml.safe_load(filled)["groups"]
    return {
        "apiVersion": PROMETHEUS_RULE.api_version,
        "kind": PROMETHEUS_RULE.kind,
        "metadata": {"name": object_name(pipeline.metadata.name, "alerts")},
        "spec": {"groups": groups},
    }
