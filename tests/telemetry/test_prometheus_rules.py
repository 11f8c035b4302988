from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml
from prometheus_client import REGISTRY
from tests.absent_tools import needs
from typer.testing import CliRunner

from cloudscale.commands.cli import app
from cloudscale.telemetry import grafana, metrics, prometheus_rules
from cloudscale.telemetry.service_levels import SERVICE_LEVELS

ROOT = Path(__file__).parents[2]
RULES = ROOT / "docs" / "alerts" / "rules.yaml"
RUNBOOKS = ROOT / "docs" / "runbooks"
OPERATOR_METRICS = {"cloudscale_pipeline_ready"}

needs_promtool = needs("promtool")

LABELS = 'namespace="shop",pipeline="clicks"'
OTHER = 'namespace="shop",pipeline="quiet"'


def promtool(*arguments: str | Path) -> None:
    completed = subprocess.run(["promtool", *map(str, arguments)], capture_output=True, text=True, check=False)
    assert completed.returncode == 0, completed.stdout + completed.stderr


def series(name: str, values: str, **labels: str) -> dict[str, str]:
    """A series of the pipeline ``clicks`` in promtool's notation, one value a minute."""
    extra = "".join(f',{label}="{value}"' for label, value in labels.items())
    return {"series": f"{name}{{{LABELS}{extra}}}", "values": values}


def histogram(name: str, *, bound: str, within: int, every: int, minutes: int) -> list[dict[str, str]]:
    """A histogram of which ``within`` of ``every`` observations a minute do not exceed ``bound``."""
    return [
        series(f"{name}_bucket", f"0+{within}x{minutes}", le=bound),
        series(f"{name}_bucket", f"0+{every}x{minutes}", le="+Inf"),
        series(f"{name}_count", f"0+{every}x{minutes}"),
    ]


HEALTHY = [
    series("cloudscale_responses_total", "0+6000x400", code="202"),
    series("cloudscale_responses_total", "0+1x400", code="503"),
    series("cloudscale_events_ingested_total", "0+6000x400", event_type="page_view", tenant_id="contoso"),
    series("cloudscale_duplicates_total", "0+10x400", stage="ingestion"),
    series("cloudscale_queue_depth", "10x400"),
    series("cloudscale_queue_oldest_seconds", "10x400"),
    series("cloudscale_dead_letter_depth", "0x400"),
    series("cloudscale_cache_available", "1x400"),
    series("cloudscale_circuit_breaker_state", "0x400", backend="store"),
    series("cloudscale_pipeline_ready", "1x400"),
    series("cloudscale_follower_lag_seconds", "3600x400", follower="archive"),
    series("cloudscale_follower_lag_seconds", "2x400", follower="outlet-crm"),
    series("cloudscale_outlet_parked", "0x400", outlet="crm"),
    *histogram("cloudscale_ingestion_duration_seconds", bound="0.2", within=5999, every=6000, minutes=400),
    *histogram("cloudscale_processing_lag_seconds", bound="2.0", within=5999, every=6000, minutes=400),
]

# What goes wrong, when it is first seen to fire, and one time before at which it does not.
CASES: dict[str, tuple[list[dict[str, str]], str, str]] = {
    "CloudScaleErrorRateHigh": (
        [
            series("cloudscale_responses_total", "0+900x60", code="202"),
            series("cloudscale_responses_total", "0+100x60", code="500"),
        ],
        "8m",
        "4m",
    ),
    "CloudScaleIngestionSlow": (
        [
            *histogram("cloudscale_ingestion_duration_seconds", bound="0.5", within=900, every=1000, minutes=60),
            series("cloudscale_ingestion_duration_seconds_bucket", "0+1000x60", le="1.0"),
        ],
        "14m",
        "9m",
    ),
    "CloudScaleQueueDeep": ([series("cloudscale_queue_depth", "5000 5000 5001x30")], "4m", "2m"),
    "CloudScaleQueueVeryDeep": ([series("cloudscale_queue_depth", "10000 10000 10001x30")], "4m", "2m"),
    "CloudScaleQueueOld": ([series("cloudscale_queue_oldest_seconds", "300 300 301x30")], "4m", "2m"),
    "CloudScaleDeadLetters": ([series("cloudscale_dead_letter_depth", "0 0 1x30")], "2m", "1m"),
    "CloudScaleDuplicatesHigh": (
        [
            series("cloudscale_events_ingested_total", "0+1000x60", event_type="page_view", tenant_id="contoso"),
            series("cloudscale_duplicates_total", "0+60x60", stage="ingestion"),
        ],
        "13m",
        "9m",
    ),
    "CloudScaleNotReady": ([series("cloudscale_pipeline_ready", "1 1 0x30")], "8m", "6m"),
    "CloudScaleBreakerOpen": ([series("cloudscale_circuit_breaker_state", "0 1 2x30", backend="store")], "4m", "2m"),
    "CloudScaleCacheAway": ([series("cloudscale_cache_available", "1 1 0x30")], "5m", "3m"),
    "CloudScaleArchiveBehind": (
        [series("cloudscale_follower_lag_seconds", "7200 7200 7201x30", follower="archive")],
        "8m",
        "6m",
    ),
    "CloudScaleOutletBehind": (
        [
            series("cloudscale_follower_lag_seconds", "900 900 901x30", follower="outlet-crm"),
            series("cloudscale_follower_lag_seconds", "1x30", follower="outlet-lake"),
            series("cloudscale_follower_lag_seconds", "3600x30", follower="archive"),
        ],
        "8m",
        "6m",
    ),
    "CloudScaleOutletParked": ([series("cloudscale_outlet_parked", "0 0 1x30", outlet="crm")], "2m", "1m"),
    "CloudScaleAvailabilityBudgetBurnsFast": (
        [
            series("cloudscale_responses_total", "0+980x120", code="202"),
            series("cloudscale_responses_total", "0+20x120", code="503"),
        ],
        "10m",
        "1m",
    ),
    "CloudScaleAvailabilityBudgetBurnsSlow": (
        [
            series("cloudscale_responses_total", "0+992x120", code="202"),
            series("cloudscale_responses_total", "0+8x120", code="503"),
        ],
        "10m",
        "1m",
    ),
    "CloudScaleIngestionSpeedBudgetBurnsFast": (
        histogram("cloudscale_ingestion_duration_seconds", bound="0.2", within=800, every=1000, minutes=120),
        "10m",
        "1m",
    ),
    "CloudScaleIngestionSpeedBudgetBurnsSlow": (
        histogram("cloudscale_ingestion_duration_seconds", bound="0.2", within=920, every=1000, minutes=120),
        "10m",
        "1m",
    ),
    "CloudScaleProcessingSpeedBudgetBurnsFast": (
        histogram("cloudscale_processing_lag_seconds", bound="2.0", within=800, every=1000, minutes=120),
        "10m",
        "1m",
    ),
    "CloudScaleProcessingSpeedBudgetBurnsSlow": (
        histogram("cloudscale_processing_lag_seconds", bound="2.0", within=920, every=1000, minutes=120),
        "10m",
        "1m",
    ),
    "CloudScaleErrorsBudgetBurnsFast": (
        [
            series("cloudscale_processing_lag_seconds_count", "0+980x120"),
            series("cloudscale_dead_letters_total", "0+20x120", reason="ValidationFailed"),
        ],
        "10m",
        "1m",
    ),
    "CloudScaleErrorsBudgetBurnsSlow": (
        [
            series("cloudscale_processing_lag_seconds_count", "0+992x120"),
            series("cloudscale_dead_letters_total", "0+8x120", reason="ValidationFailed"),
        ],
        "10m",
        "1m",
    ),
}


def all_rules() -> list[dict[str, Any]]:
    return [rule for group in prometheus_rules.rule_groups() for rule in group["rules"]]


def run_rule_tests(directory: Path, tests: list[dict[str, Any]], *, interval: str = "30s", rules: Path = RULES) -> None:
    document = {"rule_files": [str(rules)], "evaluation_interval": interval, "tests": tests}
    path = directory / "tests.yaml"
    path.write_text(yaml.safe_dump(document))
    promtool("test", "rules", path)


def fires(at: str, name: str, labels: dict[str, str]) -> dict[str, Any]:
    """An expectation on what the alert's condition says, whatever the value in its description."""
    return {
        "expr": f'count by (alertname, severity, pipeline) (ALERTS{{alertname="{name}",alertstate="firing"}})',
        "eval_time": at,
        "exp_samples": [
            {"labels": f'{{alertname="{name}",severity="{labels["severity"]}",pipeline="clicks"}}', "value": 1}
        ],
    }


def silent(at: str, name: str) -> dict[str, Any]:
    return {"expr": f'ALERTS{{alertname="{name}",alertstate="firing"}}', "eval_time": at, "exp_samples": []}


def test_every_alert_has_a_test_of_its_own() -> None:
    assert set(CASES) == {rule["alert"] for rule in all_rules() if "alert" in rule}


@needs_promtool
@pytest.mark.parametrize("name", CASES)
def test_an_alert_fires_when_it_should_and_not_before(name: str, tmp_path: Path) -> None:
    trouble, at, before = CASES[name]
    labels = next(rule["labels"] for rule in all_rules() if rule.get("alert") == name)

    run_rule_tests(
        tmp_path,
        [
            {
                "interval": "1m",
                "input_series": trouble,
                "promql_expr_test": [silent(before, name), fires(at, name, labels)],
            }
        ],
    )


@needs_promtool
def test_a_healthy_pipeline_raises_no_alert(tmp_path: Path) -> None:
    nothing = {"expr": "ALERTS", "eval_time": "6h", "exp_samples": []}

    # The series have a value a minute: looking at them twice as often shows nothing else.
    run_rule_tests(
        tmp_path, [{"interval": "1m", "input_series": HEALTHY, "promql_expr_test": [nothing]}], interval="1m"
    )


@needs_promtool
def test_a_pipeline_without_traffic_raises_no_alert(tmp_path: Path) -> None:
    idle = [
        {**each, "values": "7x400"} for each in HEALTHY if "_total" in each["series"] or "_seconds" in each["series"]
    ]
    nothing = {"expr": "ALERTS", "eval_time": "6h", "exp_samples": []}

    run_rule_tests(tmp_path, [{"interval": "1m", "input_series": idle, "promql_expr_test": [nothing]}], interval="1m")


@needs_promtool
def test_the_trouble_of_one_pipeline_is_not_blamed_on_another(tmp_path: Path) -> None:
    quiet = {"series": f"cloudscale_dead_letter_depth{{{OTHER}}}", "values": "0x30"}
    trouble = [series("cloudscale_dead_letter_depth", "3x30"), quiet]
    labels = {"severity": "warning"}

    run_rule_tests(
        tmp_path,
        [
            {
                "interval": "1m",
                "input_series": trouble,
                "promql_expr_test": [fires("2m", "CloudScaleDeadLetters", labels)],
            }
        ],
    )


def test_the_file_of_rules_is_up_to_date() -> None:
    assert RULES.read_text() == prometheus_rules.as_file(), (
        "run: python -m cloudscale.telemetry.prometheus_rules > docs/alerts/rules.yaml"
    )


@needs_promtool
def test_promtool_accepts_the_rules_and_those_of_one_pipeline(tmp_path: Path) -> None:
    resource = prometheus_rules.prometheus_rule(name="clicks", namespace="shop")
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(resource["spec"]))

    promtool("check", "rules", RULES)
    promtool("check", "rules", tmp_path / "rules.yaml")


def test_the_rules_of_one_pipeline_see_no_other() -> None:
    resource = prometheus_rules.prometheus_rule(name="clicks", namespace="shop")
    expressions = [rule["expr"] for group in resource["spec"]["groups"] for rule in group["rules"]]

    for expression in expressions:
        assert expression.count("cloudscale") == expression.count('namespace="shop",pipeline="clicks"')


def test_every_alert_has_a_runbook_that_says_what_to_do() -> None:
    for rule in all_rules():
        if "alert" not in rule:
            continue
        base, _, name = rule["annotations"]["runbook_url"].rpartition("/")
        assert base == prometheus_rules.RUNBOOKS
        page = RUNBOOKS / name
        text = page.read_text()
        assert text.startswith(f"# {page.stem}\n")
        assert {"## What it means", "## What to look at", "## What to do"} <= set(text.splitlines())
        assert page.name in (RUNBOOKS / "README.md").read_text()


SEVERITIES = {
    "CloudScaleErrorRateHigh": "critical",
    "CloudScaleIngestionSlow": "warning",
    "CloudScaleQueueDeep": "warning",
    "CloudScaleQueueVeryDeep": "critical",
    "CloudScaleQueueOld": "warning",
    "CloudScaleDeadLetters": "warning",
    "CloudScaleDuplicatesHigh": "warning",
    "CloudScaleNotReady": "critical",
    "CloudScaleBreakerOpen": "warning",
    "CloudScaleCacheAway": "warning",
    "CloudScaleArchiveBehind": "warning",
    "CloudScaleOutletBehind": "warning",
    "CloudScaleOutletParked": "warning",
}


def test_an_alert_has_the_severity_that_its_runbook_tells() -> None:
    listed = dict(
        re.findall(r"^\| \[(\w+)\]\([^)]*\) \| ([^|]+) \|", (RUNBOOKS / "README.md").read_text(), re.MULTILINE)
    )
    for rule in all_rules():
        if "alert" not in rule:
            continue
        page = rule["annotations"]["runbook_url"].rpartition("/")[2].removesuffix(".md")
        by_pace = "critical" if rule["alert"].endswith("Fast") else "warning"
        assert rule["labels"]["severity"] == SEVERITIES.get(page, by_pace)
        assert listed[page].strip() == SEVERITIES.get(page, "critical (fast), warning (slow)")


def test_a_runbook_is_found_from_anywhere() -> None:
    for runbooks in (prometheus_rules.RUNBOOKS, "https://wiki.example.org/runbooks/"):
        for group in prometheus_rules.rule_groups(runbooks=runbooks):
            for rule in group["rules"]:
                if "alert" in rule:
                    url = rule["annotations"]["runbook_url"]
                    assert url.startswith(f"{runbooks.rstrip('/')}/CloudScale")
                    assert urlsplit(url).scheme == "https"


@needs_promtool
def test_a_budget_is_counted_over_thirty_days(tmp_path: Path) -> None:
    # One hour in which everything failed, out of thirty days: 1/720 bad where 1/1000 is allowed.
    hours = 30 * 24
    failures = series("cloudscale_responses_total", f"0x{hours - 25} 600x24", code="503")
    answers = series("cloudscale_responses_total", f"0+600x{hours}", code="202")
    left = {
        "expr": "round(cloudscale:availability_budget_left:ratio_30d, 0.01)",
        "eval_time": f"{hours}h",
        "exp_samples": [{"labels": f"{{{LABELS}}}", "value": -0.39}],
    }

    # Alone, because promtool works out every rule for each hour.
    budget = {"cloudscale:availability_bad:ratio_30d", "cloudscale:availability_budget_left:ratio_30d"}
    recording = [rule for rule in all_rules() if rule.get("record") in budget]
    rules = tmp_path / "availability.yaml"
    rules.write_text(yaml.safe_dump({"groups": [{"name": "availability", "rules": recording}]}))

    run_rule_tests(
        tmp_path,
        [{"interval": "1h", "input_series": [failures, answers], "promql_expr_test": [left]}],
        interval="1h",
        rules=rules,
    )


def test_every_objective_has_a_budget_of_thirty_days() -> None:
    recorded = {rule["record"]: rule["expr"] for rule in all_rules() if "record" in rule}
    for level in SERVICE_LEVELS:
        assert "[30d]" in recorded[f"cloudscale:{level.name}_bad:ratio_30d"]
        assert f"cloudscale:{level.name}_bad:ratio_30d" in recorded[prometheus_rules.budget_left(level)]


COMMANDS = sorted(
    {
        (page.name, command)
        for page in RUNBOOKS.glob("*.md")
        for command in re.findall(r"(?:kubectl|cloudscale) [a-z][^`\n]*", page.read_text())
    }
)


@pytest.mark.parametrize(("page", "command"), COMMANDS)
def test_a_runbooks_command_works_as_it_is_typed(page: str, command: str) -> None:
    # By default kubectl shows the last ten lines of each pod that a selector finds.
    assert "logs -l " not in command or "--tail=" in command, page
    # Pods have the services' image: Python, and no other client of a backend.
    assert "redis-cli" not in command, page
    own = command.partition(" -- ")[2] if command.startswith("kubectl exec") else command
    if own.startswith("cloudscale "):
        words = re.match(r"cloudscale ((?:dlq )?[a-z]+)", own)
        assert words is not None
        assert CliRunner().invoke(app, [*words[1].split(), "--help"]).exit_code == 0, page


def measured() -> set[str]:
    """Every name that a scrape of this project's services can hold."""
    names = set(OPERATOR_METRICS)
    for metric in REGISTRY.collect():
        if metric.type == "counter":
            names.add(f"{metric.name}_total")
        elif metric.type == "histogram":
            names |= {f"{metric.name}_bucket", f"{metric.name}_count", f"{metric.name}_sum"}
        else:
            names.add(metric.name)
    return names


def test_rules_and_panels_use_only_series_that_exist() -> None:
    assert metrics.EVENTS_INGESTED is not None
    known = measured() | {rule["record"] for rule in all_rules() if "record" in rule}
    used = [rule["expr"] for rule in all_rules()] + grafana.expressions(grafana.dashboard())

    for expression in used:
        for part in prometheus_rules._SERIES.findall(expression):
            assert part in known, f"{part} in {expression}"


def test_the_grafana_dashboard_is_up_to_date() -> None:
    kept = (ROOT / "docs" / "grafana" / "cloudscale.json").read_text()

    assert kept == grafana.as_file(), "run: python -m cloudscale.telemetry.grafana > docs/grafana/cloudscale.json"


@needs_promtool
def test_promtool_can_parse_every_expression_of_the_grafana_dashboard(tmp_path: Path) -> None:
    rules = [
        {"record": f"panel:{number}", "expr": expression.replace("$__rate_interval", "1m")}
        for number, expression in enumerate(grafana.expressions(grafana.dashboard()))
    ]
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))

    promtool("check", "rules", tmp_path / "rules.yaml")


def test_the_panels_of_the_grafana_dashboard_do_not_overlap() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in grafana.dashboard()["panels"]:
        place = panel["gridPos"]
        cells = {(place["x"] + column, place["y"] + row) for column in range(place["w"]) for row in range(place["h"])}
        assert not taken & cells
        assert place["x"] + place["w"] <= grafana.COLUMNS
        taken |= cells
