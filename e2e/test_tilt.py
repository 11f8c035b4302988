"""``tilt`` on a cluster of its own: it needs nothing but the cluster, and a running pod takes up a changed source."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from e2e.cluster import NAMESPACE, ROOT, Cluster, node_image, program, wait_until
from pytest_kind import KindCluster

if TYPE_CHECKING:
    from collections.abc import Iterator

SOURCES = (
    *("apps", "operator", "charts", "crds", "kind", "examples", "requirements"),
    *("Dockerfile", ".dockerignore", "Tiltfile", "pyproject.toml", "README.md", "LICENSE"),
)
CHANGED = Path("apps/cloudscale/ingestion/openapi.py")
REDIS_IMAGE = "redis:7-bookworm"

HAS_DEPLOYED = re.compile(r"^ *cloudscale-o\S* │ .*DONE IN", re.MULTILINE)
"""What tilt prints when it has deployed the operator, whose resource the pipeline's pods belong to."""

pytestmark = pytest.mark.skipif(shutil.which("tilt") is None, reason="tilt is not installed")


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project, because the test changes a source."""
    directory = tmp_path_factory.mktemp("checkout")
    for name in SOURCES:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, directory / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, directory / name)
    return directory


@pytest.fixture(scope="module")
def empty_cluster(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster of one node with nothing of CloudScale in it."""
    subprocess.run(["kind/tools.sh"], cwd=ROOT, check=True, timeout=1200)
    directory = tmp_path_factory.mktemp("kind")
    configuration = directory / "cluster.yaml"
    nodes = [{"role": "control-plane"}]
    configuration.write_text(json.dumps({"kind": "Cluster", "apiVersion": "kind.x-k8s.io/v1alpha4", "nodes": nodes}))
    name = request.config.getoption("cluster_name") + "-tilt"
    kind = KindCluster(
        name,
        image=request.config.getoption("kind_image") or node_image(),
        kind_path=program("kind"),
        kubectl_path=program("kubectl"),
    )
    cluster = Cluster(kind, "cloudscale:tilt")
    try:
        kind.create(configuration)
        cluster.run("kubectl", "wait", "node", "--all", "--for=condition=Ready", "--timeout=180s")
        # Where there is a registry the node would fetch it.
        if cluster.run("docker", "image", "ls", "--quiet", REDIS_IMAGE).strip():
            cluster.run("kind", "load", "docker-image", "--name", name, REDIS_IMAGE)
        yield cluster
    finally:
        kind.delete()


def served_title(cluster: Cluster) -> str:
    """The title of the API's description that the sample's ingestion serves at the moment."""
    path = f"/api/v1/namespaces/{NAMESPACE}/services/sample-ingestion:80/proxy/openapi.json"
    try:
        return str(json.loads(cluster.run("kubectl", "get", "--raw", path))["info"]["title"])
    except AssertionError:
        # While the pod restarts, no server answers.
        return ""


@pytest.mark.timeout(1200)
def test_tilt_needs_nothing_but_a_cluster_and_a_running_pod_takes_up_a_change(
    empty_cluster: Cluster, checkout: Path, tmp_path: Path
) -> None:
    environment = empty_cluster.environment
    ci = subprocess.run(
        ["tilt", "ci", "--port", "0", "--timeout", "10m"],
        cwd=checkout, env=environment, capture_output=True, text=True, check=False, timeout=660,
    )  # fmt: skip
    assert ci.returncode == 0, ci.stdout[-6000:] + ci.stderr[-2000:]
    assert "All workloads are healthy" in ci.stdout + ci.stderr
    empty_cluster.wait_ready("sample")
    assert served_title(empty_cluster) == "Events of sample"
    pods = {pod["metadata"]["uid"] for pod in empty_cluster.pods("sample", "ingestion")}

    with (tmp_path / "tilt.log").open("w") as output:
        up = subprocess.Popen(
            ["tilt", "up", "--stream", "--port", "0"], cwd=checkout, env=environment, stdout=output, stderr=output
        )
        try:
            wait_until("tilt watches the sources", lambda: bool(HAS_DEPLOYED.search(log_of(tmp_path))), seconds=240)
            source = checkout / CHANGED
            source.write_text(source.read_text().replace("Events of ", "Changed events of "))
            wait_until(
                "a pod serves the changed source",
                lambda: served_title(empty_cluster) == "Changed events of sample",
                seconds=120,
            )
        finally:
            up.terminate()
            up.wait(timeout=30)
    still_there = {pod["metadata"]["uid"] for pod in empty_cluster.pods("sample", "ingestion")}
    assert pods & still_there, log_of(tmp_path)[-3000:]


def log_of(directory: Path) -> str:
    """What tilt has printed until now."""
    return (directory / "tilt.log").read_text()
