"""The status says why pods do not run in their own words, and stays Ready while a pipeline wakes up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from e2e.cluster import wait_until
from e2e.documents import wait_stored
from e2e.pipelines import RUN, pipeline
from e2e.purchases import page_views
from e2e.traffic import send

if TYPE_CHECKING:
    from e2e.cluster import Cluster

NAME = f"reasons-{RUN}"
TINY = {"requests": {"cpu": "25m", "memory": "16Mi"}, "limits": {"memory": "16Mi"}}


@pytest.mark.parametrize(
    ("spec", "kind", "reason"),
    [
        ({"placement": {"nodeSelector": {"cloudscale.io/nowhere": "true"}}}, "IngestionAvailable", "Unschedulable"),
        ({"processing": {"resources": TINY}}, "WorkersAvailable", "OOMKilled"),
        (
            {"dashboard": {"enabled": True, "tokenSecretRef": {"name": "absent", "key": "token"}}},
            "BackendsReachable",
            "SecretMissing",
        ),
    ],
    ids=["unschedulable", "out of memory", "no token"],
)
def test_the_status_names_the_pods_own_reason(cluster: Cluster, spec: dict[str, Any], kind: str, reason: str) -> None:
    cluster.apply(pipeline(NAME, deletion="Immediate", **spec))
    wait_until(f"{kind} is {reason}", lambda: condition(cluster, kind).get("reason") == reason, seconds=120)
    wait_until(f"Ready is {reason}", lambda: condition(cluster, "Ready").get("reason") == reason, seconds=60)
    cluster.kubectl("delete", "evp", NAME, "--timeout=60s")


def test_a_pipeline_that_wakes_up_stays_ready(cluster: Cluster) -> None:
    replicas = {"min": 0, "max": 1, "pollingInterval": "2s", "cooldown": "10s"}
    cluster.apply(pipeline(NAME, processing={"replicas": replicas}))
    cluster.wait_ready(NAME)
    wait_until(
        "no worker runs", lambda: condition(cluster, "WorkersAvailable").get("reason") == "ScaledToZero", seconds=180
    )
    since = condition(cluster, "Ready")["lastTransitionTime"]
    with cluster.ingestion(NAME) as address:
        accepted = [send(address, page_views(1, prefix=NAME)[0])]
    wait_stored(cluster, NAME, accepted)
    wait_until(
        "a worker runs",
        lambda: condition(cluster, "WorkersAvailable").get("reason") in ("ReplicasAvailable", "ScaledToZero"),
        seconds=120,
    )
    assert condition(cluster, "Ready")["status"] == "True"
    # Had it been anything else in between, it would be true since a later moment.
    assert condition(cluster, "Ready")["lastTransitionTime"] == since
    cluster.kubectl("delete", "evp", NAME, "--timeout=180s")


def condition(cluster: Cluster, kind: str) -> dict[str, Any]:
    """A condition of the pipeline, empty as long as there is none."""
    conditions = {each["type"]: each for each in cluster.status(NAME).get("conditions", [])}
    found: dict[str, Any] = conditions.get(kind, {})
    return found
