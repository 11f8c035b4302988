"""The Prometheus rules: service levels, their burn rates, and further alerts.

They are generated, as a plain file for Prometheus (``python -m cloudscale.telemetry.prometheus_rules``, kept in
``docs/alerts/rules.yaml``) and as the PrometheusRule that the operator makes for each pipeline. Every alert has a page
in ``docs/runbooks``; the fast and the slow burn of one budget share theirs.

Objectives and error budgets are over 30 days, and a series says how much of each budget is left. The burn rates are
those of the SRE Workbook, chapter 5, "Multiwindow, Multi-Burn-Rate Alerts": such a budget burns up in two days (14.4
times too fast) or in five days (6 times), over a long window, and still does, over a short one.
"""

from __future__ import annotations

import argparse
import re
import sys
from typing import Any

import yaml

from cloudscale.telemetry.service_levels import SERVICE_LEVELS, Count, ServiceLevel

RUNBOOKS = "https://github.com/cloudscale/cloudscale/blob/main/docs/runbooks"
"""Where the runbook pages are, for a link that works in a pager. Whoever keeps them elsewhere says so: the operator's
chart value ``runbooks``, or ``--runbooks`` of this module."""

Rule = dict[str, Any]

_SERIES = re.compile(r"(cloudscale[_:][a-z0-9_:]+)")

BY = "by (namespace, pipeline)"
"""Labels of a target that tell pipelines apart; without them, as on one machine, all is one pipeline."""


WINDOWS = ("5m", "30m", "1h", "6h")
BUDGET_WINDOW = "30d"
"""Over which an objective holds and its error budget is counted."""


def rule_groups(*, runbooks: str = RUNBOOKS) -> list[dict[str, Any]]:
    """All rules, in the groups that Prometheus evaluates together. ``runbooks`` is where the runbook pages are."""
    return [
        {"name": "cloudscale-service-levels", "interval": "30s", "rules": _recordings()},
        {"name": "cloudscale-error-budgets", "interval": "5m", "rules": _budgets()},
        {"name": "cloudscale-burn-rates", "rules": _with_runbooks(_burn_rates(), runbooks)},
        {"name": "cloudscale-alerts", "rules": _with_runbooks(_alerts(), runbooks)},
    ]


def prometheus_rule(*, name: str, namespace: str, runbooks: str = RUNBOOKS) -> dict[str, Any]:
    """The PrometheusRule (``monitoring.coreos.com/v1``) of one pipeline, whose expressions see that pipeline only."""
    selector = f'namespace="{namespace}",pipeline="{name}"'
    groups = rule_groups(runbooks=runbooks)
    for group in groups:
        group["name"] = f"{name}-{group['name']}"
        for rule in group["rules"]:
            rule["expr"] = _selecting(rule["expr"], selector)
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": f"{name}-cloudscale", "namespace": namespace},
        "spec": {"groups": groups},
    }


def _selecting(expression: str, selector: str) -> str:
    """``expression`` with ``selector`` in every one of this project's series."""
    parts = _SERIES.split(expression)
    selected = []
    for place, part in enumerate(parts):
        if place % 2 == 0:
            selected.append(part)
        elif parts[place + 1].startswith("{"):
            selected.append(part + "{" + selector + ",")
            parts[place + 1] = parts[place + 1][1:]
        else:
            selected.append(part + "{" + selector + "}")
    return "".join(selected)


def _recordings() -> list[Rule]:
    rules = [_ratio_recording(level, window) for level in SERVICE_LEVELS for window in WINDOWS]
    quantile = f"histogram_quantile(0.99, sum {BY[:-1]}, le) (rate(cloudscale_ingestion_duration_seconds_bucket[5m])))"
    rules.append({"record": "cloudscale:ingestion_duration_seconds:p99_5m", "expr": quantile})
    return rules


def _budgets() -> list[Rule]:
    """What is left of each error budget: 1 is all of it, 0 nothing, below 0 the objective is missed."""
    rules = []
    for level in SERVICE_LEVELS:
        rules.append(_ratio_recording(level, BUDGET_WINDOW))
        left = f"1 - {_ratio(level, BUDGET_WINDOW)} / {1 - level.target:.5g}"
        rules.append({"record": budget_left(level), "expr": left})
    return rules


def budget_left(level: ServiceLevel) -> str:
    """The series with the rest of a budget."""
    return f"cloudscale:{level.name}_budget_left:ratio_{BUDGET_WINDOW}"


def _ratio_recording(level: ServiceLevel, window: str) -> Rule:
    first, *others = (_rate(count, window) for count in level.total)
    # The sum of nothing is no series: without traffic there is no ratio, and without failures one of zero.
    total = " + ".join([first, *(f"({other} or 0 * {first})" for other in others)])
    bad = _rate(level.bad, window) if level.bad else f"{total} - {_rate(level.good, window)}" if level.good else total
    return {"record": _ratio(level, window), "expr": f"({bad} or 0 * {first}) / ({total})"}


def _rate(count: Count, window: str) -> str:
    name, brace, labels = count.counter.partition("{")
    return f"sum {BY} (rate({name}{brace}{labels}[{window}]))"


def _ratio(level: ServiceLevel, window: str) -> str:
    return f"cloudscale:{level.name}_bad:ratio_{window}"


def _burn_rates() -> list[Rule]:
    rules = []
    for level in SERVICE_LEVELS:
        name = "".join(word.capitalize() for word in level.name.split("_"))
        budget = 1 - level.target
        for pace, factor, long, short, severity in (
            ("Fast", 14.4, "1h", "5m", "critical"),
            ("Slow", 6, "6h", "30m", "warning"),
        ):
            threshold = f"{factor * budget:.5g}"
            rules.append(
                _alert(
                    f"CloudScale{name}BudgetBurns{pace}",
                    f"{_ratio(level, long)} > {threshold} and {_ratio(level, short)} > {threshold}",
                    severity=severity,
                    lasting="2m",
                    summary=f"{level.summary}: the error budget burns {factor:g} times too fast",
                    description=f"{{{{ $value | humanizePercentage }}}} were bad over the last {long}, "
                    f"where {budget:.2g} is allowed ({level.target:.4g} good over 30 days).",
                )
            )
    return rules


def _alerts() -> list[Rule]:
    return [
        _alert(
            "CloudScaleErrorRateHigh",
            f"{_ratio(SERVICE_LEVELS[0], '5m')} > 0.05",
            severity="critical",
            lasting="5m",
            summary="More than 5 % of requests are answered 5xx",
            description="{{ $value | humanizePercentage }} of requests failed over the last 5 minutes.",
        ),
        _alert(
            "CloudScaleIngestionSlow",
            "cloudscale:ingestion_duration_seconds:p99_5m > 0.5",
            severity="warning",
            lasting="10m",
            summary="Ingestion is slow: p99 above 500 ms",
            description="One in a hundred events waits longer than {{ $value | humanizeDuration }} for its answer.",
        ),
        _alert(
            "CloudScaleQueueDeep",
            f"max {BY} (cloudscale_queue_depth) > 5000",
            severity="warning",
            lasting="1m",
            summary="More than 5,000 events wait in the queue",
            description="{{ $value }} events wait; workers make fewer calls at once to spare the store.",
        ),
        _alert(
            "CloudScaleQueueVeryDeep",
            f"max {BY} (cloudscale_queue_depth) > 10000",
            severity="critical",
            lasting="1m",
            summary="More than 10,000 events wait in the queue",
            description="{{ $value }} events wait and are stored late.",
        ),
        _alert(
            "CloudScaleQueueOld",
            f"max {BY} (cloudscale_queue_oldest_seconds) > 300",
            severity="warning",
            lasting="1m",
            summary="The oldest event in the queue has waited for more than 5 minutes",
            description="It was accepted {{ $value | humanizeDuration }} ago and is not stored yet.",
        ),
        _alert(
            "CloudScaleDeadLetters",
            f"max {BY} (cloudscale_dead_letter_depth) > 0",
            severity="warning",
            lasting="0m",
            summary="Events are in the dead-letter queue",
            description="{{ $value }} dead letters wait for somebody to replay or discard them.",
        ),
        _alert(
            "CloudScaleDuplicatesHigh",
            # Copies that ingestion recognises are not among the accepted events, those that the store finds are.
            f"sum {BY} (rate(cloudscale_duplicates_total[10m]))"
            f" / (sum {BY} (rate(cloudscale_events_ingested_total[10m]))"
            f' + (sum {BY} (rate(cloudscale_duplicates_total{{stage="ingestion"}}[10m]))'
            f" or 0 * sum {BY} (rate(cloudscale_events_ingested_total[10m])))) > 0.05",
            severity="warning",
            lasting="10m",
            summary="More than 5 % of events are copies",
            description="{{ $value | humanizePercentage }} of events were sent again over the last 10 minutes.",
        ),
        _alert(
            "CloudScaleNotReady",
            f"min {BY} (cloudscale_pipeline_ready) == 0",
            severity="critical",
            lasting="5m",
            summary="The pipeline is not Ready",
            description="The operator has seen it so for 5 minutes; the resource's conditions say why.",
        ),
        _alert(
            "CloudScaleBreakerOpen",
            f"max {BY[:-1]}, backend) (cloudscale_circuit_breaker_state) == 2",
            severity="warning",
            lasting="1m",
            summary="A circuit breaker is open",
            description="Calls to {{ $labels.backend }} fail and are paused.",
        ),
        _alert(
            "CloudScaleCacheAway",
            f"min {BY} (cloudscale_cache_available) == 0",
            severity="warning",
            lasting="2m",
            summary="Redis cannot be reached",
            description="Rate limits hold in each process only, and copies are found by the store alone.",
        ),
        _alert(
            "CloudScaleArchiveBehind",
            # Events wait for a file for an hour at the most.
            f'max {BY} (cloudscale_follower_lag_seconds{{follower="archive"}}) > 7200',
            severity="warning",
            lasting="5m",
            summary="The archive is more than 2 hours behind the store",
            description="It has what was stored {{ $value | humanizeDuration }} ago, and the store deletes events.",
        ),
        _alert(
            "CloudScaleOutletBehind",
            f'max {BY[:-1]}, follower) (cloudscale_follower_lag_seconds{{follower=~"outlet-.*"}}) > 900',
            severity="warning",
            lasting="5m",
            summary="An outlet is more than 15 minutes behind the store",
            description="{{ $labels.follower }} has sent what was stored {{ $value | humanizeDuration }} ago.",
        ),
        _alert(
            "CloudScaleOutletParked",
            f"max {BY[:-1]}, outlet) (cloudscale_outlet_parked) > 0",
            severity="warning",
            lasting="0m",
            summary="An outlet has put events aside that its receiver did not take",
            description="{{ $value }} events of {{ $labels.outlet }} wait for somebody to replay or discard them.",
        ),
    ]


def _alert(name: str, expression: str, *, severity: str, lasting: str, summary: str, description: str) -> Rule:
    return {
        "alert": name,
        "expr": expression,
        "for": lasting,
        "labels": {"severity": severity},
        "annotations": {"summary": summary, "description": description},
    }


def _with_runbooks(rules: list[Rule], runbooks: str) -> list[Rule]:
    for rule in rules:
        page = rule["alert"].replace("BudgetBurnsFast", "BudgetBurns").replace("BudgetBurnsSlow", "BudgetBurns")
        rule["annotations"]["runbook_url"] = f"{runbooks.rstrip('/')}/{page}.md"
    return rules


def as_file(*, runbooks: str = RUNBOOKS) -> str:
    """The rules as the file that Prometheus reads."""
    head = "# Generated by `python -m cloudscale.telemetry.prometheus_rules`.\n"
    rules = {"groups": rule_groups(runbooks=runbooks)}
    return head + yaml.safe_dump(rules, sort_keys=False, width=120, allow_unicode=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Write the rules as a file for Prometheus.")
    parser.add_argument("--runbooks", default=RUNBOOKS, help="address of the folder that holds the runbooks")
    sys.stdout.write(as_file(runbooks=parser.parse_args().runbooks))
