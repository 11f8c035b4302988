"""Whose a queue is, which hosts a pipeline may name, and what happens when its Secret changes or goes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from e2e.cluster import NAMESPACE, wait_until
from e2e.documents import stored
from e2e.faults import slow_store
from e2e.pipelines import RUN, pipeline
from e2e.purchases import page_views
from e2e.traffic import send_batches

if TYPE_CHECKING:
    from e2e.cluster import Cluster

NAME = f"owner-{RUN}"
OTHER = f"other-{RUN}"
EVENTS = 5000


def test_a_pipeline_that_is_deleted_together_with_its_secret_empties_its_queue(cluster: Cluster) -> None:
    own = pipeline(NAME, queue={"connectionSecretRef": {"name": NAME, "key": "connectionString"}})
    secret = copied_secret(cluster)
    cluster.apply(secret, own)
    cluster.wait_ready(NAME)
    uid = cluster.get(f"evp/{NAME}")["metadata"]["uid"]
    with slow_store(cluster, milliseconds=500), cluster.ingestion(NAME) as address:
        accepted = send_batches(address, page_views(EVENTS, prefix=NAME))
        # As `kubectl delete -f folder` does.
        both = {"apiVersion": "v1", "kind": "List", "items": [secret, own]}
        cluster.kubectl("delete", "--filename=-", "--wait=false", stdin=json.dumps(both))
        wait_until("the Secret is gone", lambda: not cluster.exists(f"secret/{NAME}"), seconds=30)
    wait_until("the pipeline is gone", lambda: not cluster.exists(f"evp/{NAME}"), seconds=300)
    reasons = {
        event["reason"] for event in cluster.get("events", f"--field-selector=involvedObject.uid={uid}")["items"]
    }
    assert "Drained" in reasons, reasons
    assert set(accepted) <= {document["id"] for document in stored(cluster, NAME)}


def test_the_later_of_two_pipelines_on_a_queue_gets_it_when_the_first_is_gone(cluster: Cluster) -> None:
    cluster.apply(pipeline(NAME))
    cluster.wait_ready(NAME)
    cluster.apply(pipeline(OTHER, queue={"name": NAME}))
    wait_until("the later one is refused", lambda: ready(cluster, OTHER).get("reason") == "QueueShared", seconds=60)
    assert f"{NAMESPACE}/{NAME}" in ready(cluster, OTHER)["message"]
    assert not cluster.exists(f"deployment/{OTHER}-worker")
    assert cluster.is_true(NAME, "Ready")
    cluster.kubectl("delete", "evp", NAME, "--timeout=180s")
    cluster.wait_ready(OTHER)
    cluster.kubectl("delete", "evp", OTHER, "--timeout=180s")


def test_a_pipeline_that_names_a_foreign_host_gets_nothing(cluster: Cluster) -> None:
    identity = {"clientId": "11111111-2222-3333-4444-555555555555"}
    cluster.apply(pipeline(NAME, queue={"namespace": "attacker.example"}, identity=identity))
    wait_until("it is refused", lambda: ready(cluster, NAME).get("reason") == "HostNotAllowed", seconds=60)
    assert not cluster.exists(f"deployment/{NAME}-ingestion")
    # Nothing has to be emptied, so nothing is waited for.
    cluster.kubectl("delete", "evp", NAME, "--timeout=30s")


def test_kedas_scaler_is_built_anew_when_the_brokers_secret_changes(cluster: Cluster) -> None:
    own = pipeline(NAME, queue={"connectionSecretRef": {"name": NAME, "key": "connectionString"}})
    cluster.apply(copied_secret(cluster), own)
    cluster.wait_ready(NAME)
    before = cluster.get(f"scaledobject/{NAME}-worker")["metadata"]["generation"]
    # Another text, and still the same broker.
    cluster.apply(copied_secret(cluster, reverse=True))
    wait_until(
        "the ScaledObject has changed",
        lambda: cluster.get(f"scaledobject/{NAME}-worker")["metadata"]["generation"] > before,
        seconds=150,
    )
    wait_until("KEDA follows the queue", lambda: cluster.is_true(NAME, "ScalingActive"), seconds=60)
    cluster.wait_ready(NAME)
    cluster.kubectl("delete", "evp", NAME, "--timeout=180s")
    cluster.kubectl("delete", "secret", NAME)


def copied_secret(cluster: Cluster, *, reverse: bool = False) -> dict[str, Any]:
    """The backends' connection string in a Secret of the pipeline's own, its parts in this order or the other."""
    template = "--output=go-template={{.data.connectionString | base64decode}}"
    parts = cluster.kubectl("get", "secret", "cloudscale-servicebus", template).strip().strip(";").split(";")
    text = ";".join(parts[::-1] if reverse else parts)
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": NAME},
        "stringData": {"connectionString": text},
    }


def ready(cluster: Cluster, name: str) -> dict[str, Any]:
    """The condition Ready, empty as long as there is none."""
    conditions = {each["type"]: each for each in cluster.status(name).get("conditions", [])}
    found: dict[str, Any] = conditions.get("Ready", {})
    return found
