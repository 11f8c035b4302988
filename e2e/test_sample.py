"""The sample pipeline, applied as a user would, with real purchases."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from e2e.cluster import NAMESPACE, OPERATOR_NAMESPACE
from e2e.documents import stored, wait_stored
from e2e.keys import secret_value
from e2e.purchases import purchases
from e2e.traffic import send_all

if TYPE_CHECKING:
    from e2e.cluster import Cluster

READY_SECONDS = 90
PURCHASES = 1000


def test_the_sample_is_ready_in_time(sample_ready_seconds: float) -> None:
    assert sample_ready_seconds < READY_SECONDS


def test_real_purchases_sent_through_the_service_are_stored_as_they_are(cluster: Cluster, sample_address: str) -> None:
    events = purchases(PURCHASES)
    accepted = send_all(sample_address, events)
    wait_stored(cluster, "Events", accepted)
    documents = {document["id"]: document for document in stored(cluster, "Events")}
    for event in events:
        document = documents[event["eventId"]]
        assert moment(document["createdAt"]) == moment(event["createdAt"])
        kept = {name: value for name, value in event.items() if name != "createdAt"}
        assert {name: document[name] for name in kept} == kept
    assert sum(documents[event_id]["amount"] for event_id in accepted) == sum(event["amount"] for event in events)


def test_the_dashboard_is_open_to_nobody_without_its_token(cluster: Cluster, sample_address: str) -> None:
    token = secret_value(cluster, "sample-dashboard", "token")
    with cluster.forward("service/sample-dashboard", 80) as port:

        def status(**headers: str) -> int:
            try:
                with urlopen(Request(f"http://127.0.0.1:{port}/api/session", headers=headers), timeout=30) as answer:
                    return int(answer.status)
            except HTTPError as error:
                return error.code

        assert status() == 401
        assert status(Authorization="Bearer wrong") == 401
        assert status(Authorization=f"Bearer {token}") == 200


def moment(text: str) -> datetime:
    """The time that an RFC 3339 text names, however it is written."""
    return datetime.fromisoformat(text)


def test_the_columns_of_a_listing_say_how_the_pipeline_is(cluster: Cluster, sample_address: str) -> None:
    header, row = (line.split() for line in cluster.kubectl("get", "evp", "sample").splitlines())
    columns = dict(zip(header, row, strict=True))
    assert list(columns) == ["NAME", "READY", "PHASE", "DEPTH", "DLQ", "WORKERS", "CONCURRENCY", "AGE"]
    assert columns["NAME"] == "sample"
    assert columns["READY"] == "True"
    assert columns["PHASE"] == "Ready"
    assert columns["DLQ"] == "0"
    assert int(columns["WORKERS"]) >= 1
    assert columns["CONCURRENCY"] == "32"


def test_the_pods_run_where_only_restricted_ones_may(cluster: Cluster, sample_address: str) -> None:
    labels = cluster.get(f"namespace/{NAMESPACE}")["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"
    for component in ("ingestion", "worker", "dashboard"):
        assert cluster.pods("sample", component)


def test_every_container_is_limited_and_probed(cluster: Cluster, sample_address: str) -> None:
    for pod in cluster.pods("sample"):
        for container in pod["spec"]["containers"]:
            assert "memory" in container["resources"]["limits"]
            assert {"cpu", "memory"} <= set(container["resources"]["requests"])
            assert {"livenessProbe", "readinessProbe"} <= set(container)
            assert container["securityContext"]["readOnlyRootFilesystem"] is True


def test_the_installed_chart_passes_its_own_test(cluster: Cluster) -> None:
    cluster.run("helm", "test", "cloudscale", "--namespace", OPERATOR_NAMESPACE, "--timeout", "120s")


def test_the_api_server_finds_nothing_wrong_with_what_the_charts_render(cluster: Cluster) -> None:
    for chart, namespace in (("cloudscale", OPERATOR_NAMESPACE), ("cloudscale-backends", NAMESPACE)):
        rendered = cluster.run("helm", "get", "manifest", chart, "--namespace", namespace)
        cluster.kubectl(
            "apply",
            "--server-side",
            "--force-conflicts",
            "--dry-run=server",
            "--validate=strict",
            "--filename=-",
            namespace=namespace,
            stdin=rendered,
        )
