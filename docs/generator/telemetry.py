"""The pages of metrics and alerts, from the collectors and the rules."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from docs.generator.markdown import block, code, page, table
from prometheus_client import REGISTRY

from cloudscale.telemetry import metrics
from cloudscale.telemetry.prometheus_rules import rule_groups
from cloudscale_operator import metrics as operator_metrics

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

PREFIX = "cloudscale_"


def families(registry: CollectorRegistry) -> list[Any]:
    """The project's own metrics in a registry, in the order of their names."""
    found = [family for family in registry.collect() if family.name.startswith(PREFIX)]
    return sorted(found, key=lambda family: family.name)


def render_metrics() -> str:
    """The page of metrics."""
    return page(
        "Metrics",
        "Each service serves these at `/metrics`, added up over its processes. The first "
        f"{metrics.TENANT_LABELS} tenants of a process have a label value of their own, the others share `other`. "
        "A histogram has the suffixes `_bucket`, `_sum` and `_count`.",
        _metrics_table(REGISTRY),
        "## Operator",
        "The operator serves these about itself and about the queues of its pipelines.",
        _metrics_table(operator_metrics.REGISTRY),
    )


def render_alerts() -> str:
    """The page of alerts and recording rules."""
    rules = [rule for group in rule_groups() for rule in group["rules"]]
    parts = [
        (
            "These rules are in [rules.yaml](../alerts/rules.yaml), and the operator makes them for each pipeline "
            "where the Prometheus operator's kinds exist (`spec.telemetry.serviceMonitor`)."
        ),
    ]
    for rule in rules:
        if "alert" in rule:
            page_name = rule["annotations"]["runbook_url"].rpartition("/")[2]
            parts += [
                f"## {rule['alert']}",
                (
                    f"{rule['annotations']['summary']}. Severity {rule['labels']['severity']}, after {rule['for']}. "
                    f"Runbook: [{page_name.removesuffix('.md')}](../runbooks/{page_name})."
                ),
                block("text", rule["expr"]),
            ]
    rows = [[code(rule["record"]), code(rule["expr"])] for rule in rules if "record" in rule]
    parts += ["## Recorded series", table(["Series", "Expression"], rows)]
    return page("Alerts", *parts)


def _metrics_table(registry: CollectorRegistry) -> str:
    rows = []
    for family in families(registry):
        name = family.name + ("_total" if family.type == "counter" else "")
        rows.append(
            [
                code(name),
                family.type,
                ", ".join(code(label) for label in _labels(registry, family.name)),
                family.documentation,
            ]
        )
    return table(["Metric", "Type", "Labels", "Meaning"], rows)


def _labels(registry: CollectorRegistry, name: str) -> tuple[str, ...]:
    # A collector without samples yet shows its labels in no sample, so it is asked itself.
    collectors = registry._names_to_collectors  # noqa: SLF001 - there is no other way
    return tuple(getattr(collectors[name], "_labelnames", ()))
