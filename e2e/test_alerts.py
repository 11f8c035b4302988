"""A Prometheus in the cluster scrapes the pipelines and raises the project's alerts."""

from __future__ import annotations

import json
import urllib.request
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import pytest
from azure.servicebus import ServiceBusClient, ServiceBusMessage
from e2e.cluster import NAMESPACE, wait_until
from e2e.documents import connection_value, wait_stored
from e2e.pipelines import RUN, pipeline
from e2e.purchases import page_views
from e2e.traffic import send_all

if TYPE_CHECKING:
    from collections.abc import Iterator

    from e2e.cluster import Cluster

NAME = f"alerting-{RUN}"
MONITORING = "cloudscale-monitoring"
DEAD_LETTERS = "CloudScaleDeadLetters"


@pytest.fixture
def prometheus(cluster: Cluster) -> Iterator[str]:
    """The address of a Prometheus that scrapes the pipeline ``NAME``."""
    cluster.apply(pipeline(NAME, processing={"replicas": {"min": 1, "max": 1}}))
    cluster.wait_ready(NAME)
    cluster.run("kind/prometheus.sh", timeout=300)
    with cluster.forward("service/prometheus", 9090, namespace=MONITORING) as port:
        yield f"http://127.0.0.1:{port}"
    cluster.run("kubectl", "delete", "namespace", MONITORING, "--wait=false")
    cluster.kubectl("delete", "evp", NAME, "--timeout=120s")


def test_a_poison_event_makes_the_alert_on_dead_letters_fire(cluster: Cluster, prometheus: str) -> None:
    with cluster.ingestion(NAME) as address:
        accepted = send_all(address, page_views(20, prefix=NAME))
    wait_stored(cluster, NAME, accepted)
    for metric in ("events_ingested_total", "events_persisted_total", "pipeline_ready", "dead_letter_depth"):
        wait_until(f"there is cloudscale_{metric}", partial(measured, prometheus, metric), seconds=60)
    targets = ask(prometheus, "targets?state=active")["activeTargets"]
    pods = [target["scrapeUrl"] for target in targets if target["labels"].get("pipeline") == NAME]
    assert len(pods) == len(cluster.pods(NAME)), pods
    assert not firing(prometheus, DEAD_LETTERS)

    send_poison(cluster)
    wait_until("the alert fires", lambda: bool(firing(prometheus, DEAD_LETTERS)), seconds=60)
    (alert,) = firing(prometheus, DEAD_LETTERS)
    assert (alert["labels"]["namespace"], alert["labels"]["pipeline"]) == (NAMESPACE, NAME)
    assert alert["annotations"]["runbook_url"].endswith(f"{DEAD_LETTERS}.md")
    wait_until("every rule was evaluated", lambda: "unknown" not in rules_by_health(prometheus), seconds=60)
    assert set(rules_by_health(prometheus)) == {"ok"}, rules_by_health(prometheus)


def ask(prometheus: str, what: str) -> dict[str, Any]:
    """An answer of Prometheus' HTTP API."""
    with urllib.request.urlopen(f"{prometheus}/api/v1/{what}", timeout=30) as answer:
        data: dict[str, Any] = json.load(answer)["data"]
    return data


def measured(prometheus: str, metric: str) -> bool:
    """Whether there is such a metric of the pipeline."""
    query = urlencode({"query": f'cloudscale_{metric}{{namespace="{NAMESPACE}",pipeline="{NAME}"}}'})
    return bool(ask(prometheus, f"query?{query}")["result"])


def firing(prometheus: str, name: str) -> list[dict[str, Any]]:
    """The alerts of that name that are firing."""
    alerts = ask(prometheus, "alerts")["alerts"]
    return [alert for alert in alerts if alert["labels"]["alertname"] == name and alert["state"] == "firing"]


def rules_by_health(prometheus: str) -> dict[str, list[str]]:
    """The names of the rules by what became of their evaluation: ok, err, or unknown before the first."""
    found: dict[str, list[str]] = {}
    for group in ask(prometheus, "rules")["groups"]:
        for rule in group["rules"]:
            found.setdefault(rule["health"], []).append(rule["name"])
    return found


def send_poison(cluster: Cluster) -> None:
    """Put a message into the queue that no worker can read, past ingestion, which would not take it."""
    name, key = (
        connection_value(cluster, "cloudscale-servicebus", part) for part in ("SharedAccessKeyName", "SharedAccessKey")
    )
    with cluster.forward("service/servicebus", 5672) as port:
        client = ServiceBusClient.from_connection_string(
            f"Endpoint=sb://127.0.0.1:{port};SharedAccessKeyName={name};SharedAccessKey={key};"
            "UseDevelopmentEmulator=true"
        )
        with client, client.get_queue_sender(NAME) as sender:
            sender.send_messages(ServiceBusMessage(b"[{"))
