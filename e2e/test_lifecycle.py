"""A pipeline is paused, resumed and deleted: what was accepted is stored, and nothing is left behind."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from e2e.cluster import PIPELINE_LABEL, wait_until
from e2e.documents import stored, wait_stored
from e2e.pipelines import RUN, pipeline
from e2e.purchases import page_views
from e2e.traffic import send_all, send_batches

if TYPE_CHECKING:
    from e2e.cluster import Cluster

NAME = f"lifecycle-{RUN}"
CHILDREN = "deployment,service,configmap,serviceaccount,scaledobject,hpa,pdb,networkpolicy,pod"


def test_a_paused_pipeline_takes_events_and_keeps_them_until_it_is_resumed(cluster: Cluster) -> None:
    cluster.apply(pipeline(NAME))
    cluster.wait_ready(NAME)
    pause(cluster, paused=True)
    wait_until("no worker runs", lambda: not cluster.pods(NAME, "worker", leaving=True), seconds=120)

    with cluster.ingestion(NAME) as address:
        accepted = send_all(address, page_views(200, prefix="paused"))
    wait_until("the status shows a depth", lambda: cluster.status(NAME).get("queueDepth", 0) > 0, seconds=60)
    assert cluster.is_true(NAME, "Paused")
    assert not stored(cluster, NAME)

    pause(cluster, paused=False)
    wait_stored(cluster, NAME, accepted)
    wait_until("the pipeline says that it is not paused", lambda: not cluster.is_true(NAME, "Paused"), seconds=60)


# The garbage collector deletes what a pipeline owns after it, or before it, as Argo CD asks for.
@pytest.mark.parametrize("cascade", ["background", "foreground"])
def test_a_deleted_pipeline_empties_its_queue_first_and_leaves_nothing_but_its_data(
    cluster: Cluster, cascade: str
) -> None:
    cluster.apply(pipeline(NAME))
    cluster.wait_ready(NAME)
    pause(cluster, paused=True)
    wait_until("no worker runs", lambda: not cluster.pods(NAME, "worker", leaving=True), seconds=120)
    with cluster.ingestion(NAME) as address:
        accepted = send_batches(address, page_views(5000, prefix=f"drained-{cascade}"))

    pause(cluster, paused=False)
    uid = cluster.get(f"evp/{NAME}")["metadata"]["uid"]
    cluster.kubectl("delete", "evp", NAME, f"--cascade={cascade}", "--timeout=180s")
    assert "Drained" in told(cluster, uid)
    assert set(accepted) <= {document["id"] for document in stored(cluster, NAME)}
    wait_until("nothing of it is left", lambda: not children(cluster), seconds=90)


def pause(cluster: Cluster, *, paused: bool) -> None:
    """Set ``spec.paused``."""
    cluster.kubectl("patch", "evp", NAME, "--type=merge", "--patch", json.dumps({"spec": {"paused": paused}}))


def told(cluster: Cluster, uid: str) -> set[str]:
    """The reasons of the Events about a pipeline."""
    return {event["reason"] for event in cluster.get("events", f"--field-selector=involvedObject.uid={uid}")["items"]}


def children(cluster: Cluster) -> list[str]:
    """What the operator made for the pipeline."""
    selector = f"{PIPELINE_LABEL}={NAME},app.kubernetes.io/managed-by=cloudscale-operator"
    return cluster.kubectl("get", CHILDREN, f"--selector={selector}", "--output=name").split()
