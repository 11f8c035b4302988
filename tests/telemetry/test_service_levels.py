from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.absent_tools import needs
from tests.telemetry.busy_activity import BUSY
from tests.telemetry.test_prometheus_rules import run_rule_tests, series

from cloudscale.dashboard.service_levels import attainments
from cloudscale.telemetry import grafana, metrics, prometheus_rules
from cloudscale.telemetry.service_levels import (
    COUNTS,
    INGESTION_SECONDS,
    PROCESSING_SECONDS,
    SERVICE_LEVELS,
    ServiceLevel,
    Tally,
    tally_of,
)

if TYPE_CHECKING:
    from pathlib import Path


def test_a_tally_counts_what_was_in_time() -> None:
    tally = tally_of(BUSY, at=1.0)

    assert (tally.requests, tally.failed_requests) == (44, 2)
    assert (tally.ingested, tally.ingested_in_time) == (40, 39)
    assert (tally.processed, tally.processed_in_time) == (36, 30)
    assert tally.dead_lettered == 2


def test_every_count_of_a_tally_is_defined_once() -> None:
    assert [count.field for count in COUNTS] == [name for name in Tally.__struct_fields__ if name != "at"]


def test_the_limits_of_speed_are_bounds_of_the_histograms() -> None:
    assert INGESTION_SECONDS in metrics.INGESTION_BUCKETS_SECONDS
    assert PROCESSING_SECONDS in metrics.LAG_BUCKETS_SECONDS


def test_rules_grafana_and_dashboard_have_the_same_levels_and_targets() -> None:
    recorded = {rule.get("record") for group in prometheus_rules.rule_groups() for rule in group["rules"]}
    panels = [panel for panel in grafana.dashboard()["panels"] if panel["title"].endswith("good over the last hour")]

    assert [panel["title"].partition(":")[0] for panel in panels] == [level.title for level in SERVICE_LEVELS]
    assert [panel["fieldConfig"]["defaults"]["thresholds"]["steps"][1]["value"] for panel in panels] == [
        level.target for level in SERVICE_LEVELS
    ]
    assert [(each.name, each.target) for each in attainments([])] == [
        (each.name, each.target) for each in SERVICE_LEVELS
    ]
    assert {f"cloudscale:{level.name}_bad:ratio_1h" for level in SERVICE_LEVELS} <= recorded


@needs("promtool")
@pytest.mark.parametrize("level", SERVICE_LEVELS, ids=lambda level: level.name)
def test_prometheus_and_the_dashboard_find_the_same_ratio(level: ServiceLevel, tmp_path: Path) -> None:
    # As many a minute in Prometheus as the tally counts.
    counts: dict[str, list[tuple[dict[str, str], int]]] = {
        "cloudscale_responses_total": [({"code": "202"}, 990), ({"code": "503"}, 10)],
        "cloudscale_ingestion_duration_seconds_count": [({}, 500)],
        "cloudscale_ingestion_duration_seconds_bucket": [({"le": "0.2"}, 400)],
        "cloudscale_processing_lag_seconds_count": [({}, 300)],
        "cloudscale_processing_lag_seconds_bucket": [({"le": "2.0"}, 200)],
        "cloudscale_dead_letters_total": [({"reason": "ValidationFailed"}, 100)],
        # Accepted events are none of the errors' total.
        "cloudscale_events_ingested_total": [({"event_type": "page_view", "tenant_id": "contoso"}, 7000)],
    }
    tally = Tally(
        at=1.0,
        requests=1000,
        failed_requests=10,
        ingested=500,
        ingested_in_time=400,
        processed=300,
        processed_in_time=200,
        dead_lettered=100,
    )
    expected = level.bad_of(tally) / level.total_of(tally)
    name = f"cloudscale:{level.name}_bad:ratio_5m"
    sample = {"labels": '{namespace="shop",pipeline="clicks"}', "value": round(expected, 4)}

    run_rule_tests(
        tmp_path,
        [
            {
                "interval": "1m",
                "input_series": [
                    series(metric, f"0+{count}x20", **labels)
                    for metric, found in counts.items()
                    for labels, count in found
                ],
                "promql_expr_test": [
                    {
                        "expr": f"round({name}, 0.0001)",
                        "eval_time": "10m",
                        "exp_samples": [sample],
                    }
                ],
            }
        ],
    )
