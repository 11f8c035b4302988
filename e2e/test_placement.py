"""``placement.pinTo`` puts a whole pipeline on one node, and ``pinTo`` of the backends' chart the backends."""

from __future__ import annotations

from typing import TYPE_CHECKING

from e2e.pipelines import bench

if TYPE_CHECKING:
    from e2e.cluster import Cluster

LABEL = "cloudscale.io/bench"
NAMESPACE = "cloudscale-bench"
# The volumes of the other installation are where they are; these are thrown away.
BACKENDS = "--set=" + ",".join(f"{name}.persistence.enabled=false" for name in ("redis", "servicebus", "cosmos"))


def test_a_pinned_pipeline_and_its_backends_are_on_the_labelled_node_only(cluster: Cluster) -> None:
    (node,) = cluster.get("nodes", f"--selector={LABEL}")["items"]
    repository, _, tag = cluster.image.rpartition(":")
    cluster.run(
        *["helm", "install", "cloudscale-backends", "charts/cloudscale-backends", "--create-namespace", "--namespace"],
        NAMESPACE,
        f"--set=pinTo={LABEL},image.repository={repository},image.tag={tag}",
        BACKENDS,
        "--wait",
        "--timeout=180s",
    )
    cluster.run("kind/keda.sh", CLOUDSCALE_NAMESPACE=NAMESPACE)
    cluster.apply(*(each for each in bench() if each["kind"] == "EventPipeline"), namespace=NAMESPACE)
    cluster.wait_ready("bench", namespace=NAMESPACE)

    pods = cluster.get("pods", namespace=NAMESPACE)["items"]
    assert len(pods) >= 5, "three backends, ingestion and a worker"
    for pod in pods:
        assert pod["spec"]["nodeName"] == node["metadata"]["name"]
        terms = pod["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
        assert terms["nodeSelectorTerms"] == [{"matchExpressions": [{"key": LABEL, "operator": "Exists"}]}]

    cluster.kubectl("delete", "evp", "bench", "--timeout=120s", namespace=NAMESPACE)
    cluster.run("kubectl", "delete", "namespace", NAMESPACE, "--timeout=180s")
