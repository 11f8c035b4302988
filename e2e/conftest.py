"""A kind cluster for the session, made and filled by the scripts that ``make cluster`` runs.

``--keep-cluster`` leaves it for the next run, which then finds everything there. The ports that it maps are free ones,
so that it gets along with a developer's own cluster.
"""

from __future__ import annotations

import logging
import subprocess
from typing import TYPE_CHECKING

import pytest
from e2e import diagnosis
from e2e.cluster import IMAGE, NAMESPACE, ROOT, SAMPLE_NODE_PORT, Cluster, configuration, node_image, program
from e2e.keys import senders
from e2e.pipelines import sample
from pytest_kind import KindCluster

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

# The store's client complains at length when a port-forward under it ends before it does.
logging.getLogger("azure").setLevel(logging.CRITICAL)


@pytest.fixture(scope="session")
def cluster(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """The cluster, with backends, KEDA and the operator in it."""
    subprocess.run(["kind/tools.sh"], cwd=ROOT, check=True, timeout=1200)
    kind = KindCluster(
        request.config.getoption("cluster_name"),
        image=request.config.getoption("kind_image") or node_image(),
        kind_path=program("kind"),
        kubectl_path=program("kubectl"),
    )
    cluster = Cluster(kind, IMAGE)
    try:
        kind.create(configuration(tmp_path_factory.mktemp("kind")))
        cluster.run("kubectl", "wait", "node", "--all", "--for=condition=Ready", "--timeout=180s")
        cluster.run("kind/install.sh", timeout=900)
        cluster.apply(senders())
        yield cluster
    finally:
        if not request.config.getoption("keep_cluster"):
            kind.delete()


@pytest.fixture(scope="session")
def sample_ready_seconds(cluster: Cluster) -> float:
    """How long it took from applying the sample until it was Ready."""
    cluster.apply(*sample())
    return cluster.wait_ready("sample")


@pytest.fixture(scope="session")
def sample_address(cluster: Cluster, sample_ready_seconds: float) -> str:
    """Where the sample pipeline takes events, once it is ready."""
    return cluster.node_port(SAMPLE_NODE_PORT)


@pytest.fixture(autouse=True)
def nothing_left(request: pytest.FixtureRequest) -> Iterator[None]:
    """Delete what a failed test has left, so that it takes no room from the next."""
    yield
    if "cluster" in request.fixturenames:
        cluster: Cluster = request.getfixturevalue("cluster")
        left = [name for name in cluster.kubectl("get", "evp", "--output=name").split() if not name.endswith("/sample")]
        if left:
            cluster.kubectl("patch", *left, "--type=merge", "--patch", '{"spec":{"deletion":"Immediate"}}')
            cluster.kubectl("delete", *left, "--timeout=120s")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """First what has a cluster of its own, or none, before the session's is made. Two hundred pipelines keep that one
    busy long after their test, so they are the last."""
    order = {"test_image.py": -3, "test_upgrade.py": -2, "test_tilt.py": -1, "test_fleet.py": 1}
    items.sort(key=lambda item: order.get(item.path.name, 0))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add the cluster's own account to the report of a failure, while it is still there."""
    outcome = yield
    cluster = getattr(item, "funcargs", {}).get("cluster")
    if outcome.failed and isinstance(cluster, Cluster):
        outcome.sections.append((f"cluster, namespace {NAMESPACE} and all others", diagnosis.report(cluster)))
    return outcome
