"""An installation of the version before becomes today's, by the steps that its users take, while events keep coming."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from e2e.cluster import (
    IMAGE,
    OPERATOR_NAMESPACE,
    ROOT,
    SAMPLE_NODE_PORT,
    Cluster,
    configuration,
    node_image,
    program,
    wait_until,
)
from e2e.documents import wait_stored
from e2e.pipelines import RUN
from e2e.traffic import Traffic
from pytest_kind import KindCluster

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PREVIOUS_REVISION = "bd84b2e"
"""What CHANGELOG.md calls 0.1.0."""
PREVIOUS_IMAGE = "cloudscale:0.1.0"
COMPONENTS = ("ingestion", "worker", "dashboard")
DEFINITION = "crd/eventpipelines.cloudscale.io"

AWAY_SECONDS = 300.0
"""How long no event may be accepted: broker, store and Redis are replaced one after the other on a small machine."""


@pytest.fixture(scope="module")
def previous_checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sources of the version before, from the history of this clone."""
    folder = tmp_path_factory.mktemp("previous")
    archive = folder / "sources.tar"
    command = ("git", "archive", "--output", str(archive), PREVIOUS_REVISION)
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    if done.returncode != 0:
        pytest.skip(
            f"the history of this clone lacks revision {PREVIOUS_REVISION}, from which the upgrade starts: "
            f"`git fetch --unshallow` brings it ({done.stderr.strip()})"
        )
    sources = folder / "sources"
    sources.mkdir()
    unpack = ("tar", "--extract", "--file", str(archive), "--directory", str(sources))
    subprocess.run(unpack, check=True, timeout=60)
    return sources


@pytest.fixture(scope="module")
def previous(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, previous_checkout: Path
) -> Iterator[Cluster]:
    """A cluster with the version before: image, backends, operator and sample, as its own scripts do it."""
    subprocess.run(["kind/tools.sh"], cwd=ROOT, check=True, timeout=1200)
    kind = KindCluster(
        request.config.getoption("cluster_name") + "-upgrade",
        image=request.config.getoption("kind_image") or node_image(),
        kind_path=program("kind"),
        kubectl_path=program("kubectl"),
    )
    cluster = Cluster(kind, PREVIOUS_IMAGE, directory=previous_checkout)
    try:
        kind.create(configuration(tmp_path_factory.mktemp("kind")))
        cluster.run("kubectl", "wait", "node", "--all", "--for=condition=Ready", "--timeout=180s")
        cluster.run("kind/up.sh", timeout=1200)
        yield cluster
    finally:
        kind.delete()


def images(cluster: Cluster) -> set[str]:
    """What the sample's pods run."""
    return {
        container["image"].removeprefix("docker.io/library/")
        for component in COMPONENTS
        for pod in cluster.pods("sample", component)
        for container in pod["spec"]["containers"]
    }


def operator_labels(cluster: Cluster) -> dict[str, str]:
    """The labels of the operator's Deployment."""
    labels: dict[str, str] = cluster.get("deployment/cloudscale-operator", namespace=OPERATOR_NAMESPACE)["metadata"][
        "labels"
    ]
    return labels


def client_limits(cluster: Cluster) -> set[str]:
    """The limits on one client that the resource definition in the cluster knows."""
    schema: Any = cluster.get(DEFINITION)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    for member in ("spec", "ingestion", "rateLimits", "perClient"):
        schema = schema["properties"][member]
    return set(schema["properties"])


@pytest.mark.timeout(2400)
def test_an_upgrade_from_the_version_before_loses_nothing(previous: Cluster) -> None:
    today = Cluster(previous.kind, IMAGE)
    version = yaml.safe_load((ROOT / "charts/cloudscale/Chart.yaml").read_text())["version"]
    address = today.node_port(SAMPLE_NODE_PORT)
    assert images(previous) == {PREVIOUS_IMAGE}
    assert operator_labels(previous)["helm.sh/chart"] == "cloudscale-0.1.0"
    assert "eventsBurst" not in client_limits(previous)

    # The version before knows no keys, and its pipeline stays open.
    with Traffic(address, prefix=f"before-{RUN}", keys={}) as before:
        before.wait_accepted(300)
    with Traffic(address, prefix=f"meanwhile-{RUN}", give_up_after_seconds=AWAY_SECONDS, keys={}) as meanwhile:
        meanwhile.wait_accepted(100)
        today.run("kind/install.sh", timeout=1200)
        wait_until("every pod runs today's image", lambda: images(today) == {IMAGE}, seconds=300)
        today.wait_ready("sample", seconds=300)
        meanwhile.wait_accepted(100)

    wait_stored(today, "Events", [*before.accepted, *meanwhile.accepted], seconds=300)
    assert operator_labels(today)["helm.sh/chart"] == f"cloudscale-{version}"
    assert {"eventsBurst", "eventsPerSecond"} <= client_limits(today)
    # The ledger of the version before was moved, not forgotten: it balances with what is stored.
    verified = today.kubectl("exec", "deployment/sample-worker", "--", "cloudscale", "verify", "--wait", "60s")
    assert "zero lost" in verified, verified
    assert today.exists("secret/sample-dashboard"), "its dashboard was open, and is no more"
