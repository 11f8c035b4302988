"""Pods go in the middle of traffic, on purpose and by accident: every 202 is in the store exactly once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from e2e.cluster import OPERATOR_NAMESPACE
from e2e.documents import wait_stored
from e2e.pipelines import RUN
from e2e.traffic import Traffic

if TYPE_CHECKING:
    from collections.abc import Callable

    from e2e.cluster import Cluster

EVENTS_AROUND = 200
"""Accepted before and after the disturbance."""


def roll(cluster: Cluster) -> None:
    """A rolling update of everything, as a new image brings it."""
    for component in ("ingestion", "worker"):
        cluster.kubectl("rollout", "restart", f"deployment/sample-{component}")
    for component in ("ingestion", "worker"):
        cluster.kubectl("rollout", "status", f"deployment/sample-{component}", "--timeout=180s")


def kill(component: str) -> Callable[[Cluster], None]:
    """One pod of the pipeline, without a chance to end in order."""

    def disturb(cluster: Cluster) -> None:
        name = cluster.pods("sample", component)[0]["metadata"]["name"]
        cluster.kubectl("delete", "pod", name, "--grace-period=0", "--force")
        cluster.kubectl("rollout", "status", f"deployment/sample-{component}", "--timeout=180s")

    return disturb


def kill_broker(cluster: Cluster) -> None:
    """The broker's only pod: no event is accepted until it is back."""
    cluster.kubectl("delete", "pod", "servicebus-0", "--grace-period=0", "--force")
    cluster.kubectl("rollout", "status", "statefulset/servicebus", "--timeout=180s")


def kill_operator(cluster: Cluster) -> None:
    """The operator: the pipeline works without it."""
    cluster.delete_operator()
    cluster.kubectl(
        "rollout", "status", "deployment/cloudscale-operator", "--timeout=180s", namespace=OPERATOR_NAMESPACE
    )


@pytest.mark.fault
@pytest.mark.parametrize(
    ("name", "disturb"),
    [
        ("rolling-update", roll),
        ("ingestion", kill("ingestion")),
        ("worker", kill("worker")),
        ("broker", kill_broker),
        ("operator", kill_operator),
    ],
    ids=["rolling update", "ingestion killed", "worker killed", "broker killed", "operator killed"],
)
def test_every_accepted_event_is_stored_once(
    cluster: Cluster, sample_address: str, name: str, disturb: Callable[[Cluster], None]
) -> None:
    with Traffic(sample_address, prefix=f"{name}-{RUN}") as traffic:
        traffic.wait_accepted(EVENTS_AROUND)
        disturb(cluster)
        traffic.wait_accepted(EVENTS_AROUND)
    wait_stored(cluster, "Events", traffic.accepted)
    cluster.wait_ready("sample")
