"""Two pipelines in one namespace and one in another, of the same name, do not touch each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from e2e.cluster import NAMESPACE
from e2e.documents import stored, wait_stored
from e2e.keys import senders
from e2e.pipelines import RUN, pipeline
from e2e.purchases import page_views
from e2e.traffic import send_all

if TYPE_CHECKING:
    from collections.abc import Iterator

    from e2e.cluster import Cluster

ELSEWHERE = "cloudscale-elsewhere"
SECRETS = ("cloudscale-servicebus", "cloudscale-cosmos", "cloudscale-redis", "cloudscale-backends-ca")
FIRST, SECOND, THIRD = f"first-{RUN}", f"second-{RUN}", f"third-{RUN}"
IDLE = {"processing": {"replicas": {"min": 1, "max": 1}}}


@pytest.fixture(scope="module")
def elsewhere(cluster: Cluster) -> Iterator[str]:
    """Another namespace, with the same credentials for the same backends."""
    cluster.run("kubectl", "create", "namespace", ELSEWHERE)
    for name in SECRETS:
        secret = cluster.get(f"secret/{name}")
        cluster.apply(
            {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "data": secret["data"]},
            namespace=ELSEWHERE,
        )
    cluster.apply(senders(), namespace=ELSEWHERE)
    yield ELSEWHERE
    cluster.run("kubectl", "delete", "namespace", ELSEWHERE, "--timeout=180s")


def test_pipelines_beside_each_other_keep_their_events_and_their_pods(cluster: Cluster, elsewhere: str) -> None:
    cluster.apply(pipeline(FIRST, **IDLE), pipeline(SECOND, **IDLE))
    cluster.apply(pipeline(FIRST, queue={"name": THIRD}, store={"container": THIRD}, **IDLE), namespace=elsewhere)
    places = [(FIRST, NAMESPACE), (SECOND, NAMESPACE), (FIRST, elsewhere)]
    for name, namespace in places:
        cluster.wait_ready(name, namespace=namespace)

    for name in (FIRST, SECOND):
        with cluster.ingestion(name) as address:
            accepted = send_all(address, page_views(50, prefix=name))
        wait_stored(cluster, name, accepted)
    assert {document["id"].rpartition("-")[0] for document in stored(cluster, FIRST)} == {FIRST}
    assert {document["id"].rpartition("-")[0] for document in stored(cluster, SECOND)} == {SECOND}
    assert not stored(cluster, THIRD)

    def others() -> set[str]:
        kept = [(SECOND, NAMESPACE), (FIRST, elsewhere)]
        return {pod["metadata"]["uid"] for name, namespace in kept for pod in cluster.pods(name, namespace=namespace)}

    before = others()
    cluster.kubectl("delete", "evp", FIRST, "--timeout=120s")
    assert others() == before
    assert cluster.is_true(SECOND, "Ready")
    assert cluster.is_true(FIRST, "Ready", namespace=elsewhere)

    cluster.kubectl("delete", "evp", SECOND, "--timeout=120s")
    cluster.kubectl("delete", "evp", FIRST, "--timeout=120s", namespace=elsewhere)
