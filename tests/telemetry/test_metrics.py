from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from cloudscale.telemetry.metrics import BoundedLabel, GroupedHistogram

if TYPE_CHECKING:
    from pathlib import Path

COUNT = """
from cloudscale.telemetry import metrics
metrics.count_ingested({("page_view", "contoso"): 5})
metrics.count_response(202)
metrics.publish_responses()
metrics.observe_ingestion("page_view", [0.01, 0.3])
metrics.set_breaker_state("store", "open")
metrics.QUEUE_DEPTH.set(7)
"""

SCRAPE = """
import sys
from cloudscale.telemetry import metrics
sys.stdout.buffer.write(metrics.render())
"""


def run(program: str, directory: Path) -> str:
    environment = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(directory)}
    completed = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
    )
    return completed.stdout


def values(text: str) -> dict[str, float]:
    """Samples by name and label values."""
    return {
        " ".join([sample.name, *sample.labels.values()]): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_counts_of_several_processes_are_added_up(tmp_path: Path) -> None:
    for _ in range(3):
        run(COUNT, tmp_path)

    scraped = values(run(SCRAPE, tmp_path))

    assert scraped["cloudscale_events_ingested_total page_view contoso"] == 15
    assert scraped["cloudscale_responses_total 202"] == 3
    assert scraped["cloudscale_ingestion_duration_seconds_count page_view"] == 6
    assert scraped["cloudscale_ingestion_duration_seconds_bucket page_view 0.2"] == 3


def test_a_gauge_of_a_process_that_is_gone_is_forgotten(tmp_path: Path) -> None:
    run(COUNT, tmp_path)

    scraped = values(run(SCRAPE, tmp_path))

    assert "cloudscale_circuit_breaker_state store" not in scraped
    assert "cloudscale_queue_depth" not in scraped


def test_a_gauge_of_a_living_process_is_shown(tmp_path: Path) -> None:
    scraped = values(run(COUNT + SCRAPE, tmp_path))

    assert scraped["cloudscale_circuit_breaker_state store"] == 2
    assert scraped["cloudscale_queue_depth"] == 7
    assert scraped["cloudscale_cache_available"] == 1


def test_observing_many_at_once_is_the_same_as_one_by_one() -> None:
    amounts = [0.0, 0.1, 0.1000001, 0.5, 1.0, 7.0]
    registry = CollectorRegistry()
    one_by_one = GroupedHistogram("one", "One by one.", buckets=(0.1, 0.5, 1.0), registry=registry)
    at_once = GroupedHistogram("many", "At once.", buckets=(0.1, 0.5, 1.0), registry=registry)

    for amount in amounts:
        one_by_one.observe(amount)
    at_once.observe_many(amounts)

    def samples(name: str) -> dict[tuple[str, ...], float]:
        [family] = [family for family in registry.collect() if family.name == name]
        return {
            (sample.name.removeprefix(name), *sample.labels.values()): sample.value
            for sample in family.samples
            if not sample.name.endswith("_created")
        }

    assert samples("many") == samples("one")


def test_tenants_beyond_the_bound_share_one_label() -> None:
    label = BoundedLabel(2)

    assert [label(tenant) for tenant in ("a", "b", "c", "a", "d")] == ["a", "b", "other", "a", "other"]
