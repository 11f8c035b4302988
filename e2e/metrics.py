"""Figures that a process publishes for Prometheus, read over a port-forward."""

from __future__ import annotations

import urllib.request
from typing import TYPE_CHECKING

from prometheus_client.parser import text_string_to_metric_families

if TYPE_CHECKING:
    from e2e.cluster import Cluster
    from prometheus_client.samples import Sample


def scrape(cluster: Cluster, what: str, port: int, *, namespace: str) -> list[Sample]:
    """Every sample of ``/metrics`` behind a Service or pod."""
    with (
        cluster.forward(what, port, namespace=namespace) as local,
        urllib.request.urlopen(f"http://127.0.0.1:{local}/metrics", timeout=30) as answer,
    ):
        text = answer.read().decode()
    return [sample for family in text_string_to_metric_families(text) for sample in family.samples]


def total(samples: list[Sample], name: str) -> float:
    """The sum of a metric over all of its labels.

    Raises:
        AssertionError: there is no such metric.
    """
    found = [sample.value for sample in samples if sample.name == name]
    assert found, f"there is no metric {name}"
    return sum(found)
