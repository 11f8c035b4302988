"""Scraping by a Prometheus operator, and its alerting rules, where the cluster has those kinds."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from cloudscale.telemetry import prometheus_rules
from cloudscale_operator.kinds import PROMETHEUS_RULE, SERVICE_MONITOR, Manifest
from cloudscale_operator.manifests.services import WebPort
from cloudscale_operator.names import PIPELINE_LABEL, object_name

if TYPE_CHECKING:
    from cloudscale.pipeline import EventPipeline
    from cloudscale_operator.context import Context

SCRAPE_INTERVAL = "15s"


def build_monitoring(pipeline: EventPipeline, context: Context) -> list[Manifest]:
    """A ServiceMonitor for all roles, and a PrometheusRule with the pipeline's service levels and alerts."""
    if not pipeline.spec.telemetry.service_monitor:
        return []
    built = []
    if SERVICE_MONITOR in context.available:
        built.append(_monitor(pipeline))
    if PROMETHEUS_RULE in context.available:
        name, namespace = pipeline.metadata.name, pipeline.metadata.namespace
        rule = prometheus_rules.prometheus_rule(name=name, namespace=namespace, runbooks=context.runbooks)
        built.append(rule)
    return built


def _monitor(pipeline: EventPipeline) -> Manifest:
    name = pipeline.metadata.name
    # The rules tell pipelines apart by this label; the namespace's comes from Prometheus itself.
    label = {
        "sourceLabels": [f"__meta_kubernetes_service_label_{re.sub('[^a-z0-9]', '_', PIPELINE_LABEL)}"],
        "targetLabel": "pipeline",
    }
    return {
        "apiVersion": SERVICE_MONITOR.api_version,
        "kind": SERVICE_MONITOR.kind,
        "metadata": {"name": object_name(name, "metrics")},
        "spec": {
            "selector": {"matchLabels": {PIPELINE_LABEL: name}},
            "endpoints": [
                {"port": port, "interval": SCRAPE_INTERVAL, "relabelings": [label], **_scheme(port)}
                for port in (*_web_ports(pipeline), "metrics")
            ],
        },
    }


def _web_ports(pipeline: EventPipeline) -> list[str]:
    secrets = (pipeline.spec.ingestion.tls_secret_name, pipeline.spec.dashboard.tls_secret_name)
    return sorted({WebPort.of(secret).name for secret in secrets})


def _scheme(port: str) -> dict[str, Any]:
    # Prometheus connects to pods by their addresses, which no certificate names.
    return {"scheme": "https", "tlsConfig": {"insecureSkipVerify": True}} if port == "https" else {}
