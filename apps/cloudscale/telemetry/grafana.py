"""The Grafana dashboard of a pipeline, in ``docs/grafana``: ``python -m cloudscale.telemetry.grafana`` makes it."""

from __future__ import annotations

import sys
from typing import Any

import msgspec

from cloudscale.telemetry.prometheus_rules import budget_left
from cloudscale.telemetry.service_levels import (
    INGESTION_SECONDS,
    PROCESSING_SECONDS,
    SERVICE_LEVELS,
)

COLUMNS = 24
WIDTH = 8
HEIGHT = 8
SHARE_HEIGHT = 4
SELECTOR = 'namespace=~"$namespace",pipeline=~"$pipeline"'


class Panel(msgspec.Struct, frozen=True):
    """A time series panel: legend format and expression of each line, and the unit in Grafana's terms."""

    title: str
    unit: str
    lines: tuple[tuple[str, str], ...]
    limit: float | None = None
    """A red line, in the panel's unit."""


def _rate(metric: str, by: str = "") -> str:
    grouping = f" by ({by})" if by else ""
    return f"sum{grouping} (rate(cloudscale_{metric}{{{SELECTOR}}}[$__rate_interval]))"


def _quantiles(metric: str, *shares: float) -> tuple[tuple[str, str], ...]:
    return tuple(
        (f"p{share * 100:g}", f"histogram_quantile({share:g}, {_rate(metric + '_bucket', 'le')})") for share in shares
    )


def _max(metric: str, by: str = "") -> str:
    grouping = f" by ({by})" if by else ""
    return f"max{grouping} (cloudscale_{metric}{{{SELECTOR}}})"


PANELS = (
    Panel(
        "Throughput",
        "eps",
        (("accepted", _rate("events_ingested_total")), ("persisted", _rate("events_persisted_total"))),
    ),
    Panel("Ingestion time", "s", _quantiles("ingestion_duration_seconds", 0.5, 0.95, 0.99), INGESTION_SECONDS),
    Panel("Processing lag", "s", _quantiles("processing_lag_seconds", 0.5, 0.99), PROCESSING_SECONDS),
    Panel("Queue", "short", (("events", _max("queue_depth")), ("messages", _max("queue_messages")))),
    Panel("Oldest event in the queue", "s", (("age", _max("queue_oldest_seconds")),)),
    Panel("Dead letters", "short", (("in the queue", _max("dead_letter_depth")),), 1),
    Panel("Dead-lettered", "eps", (("{{reason}}", _rate("dead_letters_total", "reason")),)),
    Panel("Concurrency of a worker", "short", (("calls to the store at once", _max("concurrency_limit")),)),
    Panel("Answers", "reqps", (("{{code}}", _rate("responses_total", "code")),)),
    Panel(
        "Refused",
        "reqps",
        (
            ("{{reason}}", _rate("rejections_total", "reason")),
            ("rate limit: {{limit}}", _rate("rate_limit_rejections_total", "limit")),
        ),
    ),
    Panel("Duplicates", "eps", (("found by {{stage}}", _rate("duplicates_total", "stage")),)),
    Panel("Suspicious events", "eps", (("{{event_type}}", _rate("fraud_detected_total", "event_type")),)),
    Panel("Accepted by type", "eps", (("{{event_type}}", _rate("events_ingested_total", "event_type")),)),
    Panel("Accepted by tenant", "eps", (("{{tenant_id}}", _rate("events_ingested_total", "tenant_id")),)),
    Panel(
        "Events in a group",
        "short",
        (("mean", f"{_rate('group_size_sum')} / {_rate('group_size_count')}"),),
    ),
    Panel("Time of a call to the store", "s", _quantiles("store_duration_seconds", 0.5, 0.99)),
    Panel("Request units", "RU/s", (("charged", _rate("store_request_units_total")),)),
    Panel("Retries", "cps", (("{{backend}}", _rate("retries_total", "backend")),)),
    Panel(
        "Backends: 2 is an open breaker",
        "short",
        (
            ("breaker of {{backend}}", _max("circuit_breaker_state", "backend")),
            ("Redis answers", f"min (cloudscale_cache_available{{{SELECTOR}}})"),
        ),
    ),
)


def dashboard() -> dict[str, Any]:
    """The dashboard as Grafana imports it; the data source and the pipeline are variables."""
    panels = [_level_panel(place) for place in range(len(SERVICE_LEVELS))]
    panels += [_budget_panel(place) for place in range(len(SERVICE_LEVELS))]
    panels += [_panel(place, panel) for place, panel in enumerate(PANELS)]
    for number, panel in enumerate(panels, start=1):
        panel["id"] = number
    return {
        "title": "CloudScale",
        "uid": "cloudscale",
        "tags": ["cloudscale"],
        "editable": True,
        "schemaVersion": 39,
        "refresh": "10s",
        "time": {"from": "now-1h", "to": "now"},
        "templating": {"list": _variables()},
        "panels": panels,
    }


def expressions(document: dict[str, Any]) -> list[str]:
    """Every PromQL expression of a dashboard."""
    return [target["expr"] for panel in document["panels"] for target in panel["targets"]]


def _level_panel(place: int) -> dict[str, Any]:
    """How much was good over the last hour, coloured by what the objective asks."""
    level = SERVICE_LEVELS[place]
    return _share_panel(
        place,
        row=0,
        title=f"{level.title}: good over the last hour",
        description=f"Objective: {level.target:.4g} over 30 days.",
        expression=f"1 - max (cloudscale:{level.name}_bad:ratio_1h{{{SELECTOR}}})",
        green_from=level.target,
    )


def _budget_panel(place: int) -> dict[str, Any]:
    """How much of the error budget of 30 days is left, red when it is spent."""
    level = SERVICE_LEVELS[place]
    return _share_panel(
        place,
        row=1,
        title=f"{level.title}: error budget left",
        description=f"Of the {1 - level.target:.2g} that may be bad over 30 days.",
        expression=f"min ({budget_left(level)}{{{SELECTOR}}})",
        green_from=0.0,
    )


def _share_panel(
    place: int, *, row: int, title: str, description: str, expression: str, green_from: float
) -> dict[str, Any]:
    width = COLUMNS // len(SERVICE_LEVELS)
    steps = [{"color": "red", "value": None}, {"color": "green", "value": green_from}]
    return {
        "type": "stat",
        "title": title,
        "description": description,
        "datasource": {"type": "prometheus", "uid": "${datasource}"},
        "gridPos": {"x": width * place, "y": SHARE_HEIGHT * row, "w": width, "h": SHARE_HEIGHT},
        "targets": [{"refId": "A", "expr": expression}],
        "fieldConfig": {
            "defaults": {
                "unit": "percentunit",
                "decimals": 3,
                "max": 1,
                "thresholds": {"mode": "absolute", "steps": steps},
            },
            "overrides": [],
        },
    }


def _panel(place: int, panel: Panel) -> dict[str, Any]:
    row, column = divmod(place, COLUMNS // WIDTH)
    steps: list[dict[str, Any]] = [{"color": "transparent", "value": None}]
    if panel.limit is not None:
        steps.append({"color": "red", "value": panel.limit})
    return {
        "type": "timeseries",
        "title": panel.title,
        "datasource": {"type": "prometheus", "uid": "${datasource}"},
        "gridPos": {"x": WIDTH * column, "y": 2 * SHARE_HEIGHT + HEIGHT * row, "w": WIDTH, "h": HEIGHT},
        "targets": [
            {"refId": chr(ord("A") + index), "expr": expression, "legendFormat": legend}
            for index, (legend, expression) in enumerate(panel.lines)
        ],
        "fieldConfig": {
            "defaults": {
                "unit": panel.unit,
                "min": 0,
                "custom": {"fillOpacity": 8, "showPoints": "never", "thresholdsStyle": {"mode": "dashed"}},
                "thresholds": {"mode": "absolute", "steps": steps},
            },
            "overrides": [],
        },
    }


def _variables() -> list[dict[str, Any]]:
    datasource = {"type": "datasource", "name": "datasource", "label": "Data source", "query": "prometheus"}
    return [datasource, *(_label_variable(name) for name in ("namespace", "pipeline"))]


def _label_variable(name: str) -> dict[str, Any]:
    return {
        "type": "query",
        "name": name,
        "label": name.capitalize(),
        "datasource": {"type": "prometheus", "uid": "${datasource}"},
        "query": f"label_values(cloudscale_cache_available, {name})",
        "refresh": 2,
        "includeAll": True,
        "allValue": ".*",
        "multi": True,
        "current": {"text": "All", "value": "$__all"},
    }


def as_file() -> str:
    """The dashboard as a JSON file."""
    return msgspec.json.format(msgspec.json.encode(dashboard()), indent=2).decode() + "\n"


if __name__ == "__main__":
    sys.stdout.write(as_file())
