"""The operator is replaced, interrupted and uninstalled: the pipelines run on, and their data stays."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import pytest
import yaml
from e2e.cluster import NAMESPACE, OPERATOR_NAMESPACE, ROOT, wait_until
from e2e.documents import stored, wait_stored
from e2e.pipelines import RUN, pipeline
from e2e.traffic import Traffic

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from e2e.cluster import Cluster

CHART = "charts/cloudscale"
DEFINITION = "crd/eventpipelines.cloudscale.io"


@pytest.fixture
def other_chart(tmp_path: Path) -> Path:
    """Today's chart under another version, without a part of the resource definition, as an older one lacks it."""
    target = tmp_path / "cloudscale"
    shutil.copytree(ROOT / CHART, target)
    chart = yaml.safe_load((target / "Chart.yaml").read_text())
    (target / "Chart.yaml").write_text(yaml.safe_dump(chart | {"version": "0.0.1"}))
    definition_file = target / "files/eventpipelines.yaml"
    definition = yaml.safe_load(definition_file.read_text())
    for version in definition["spec"]["versions"]:
        version["additionalPrinterColumns"] = version["additionalPrinterColumns"][:2]
    definition_file.write_text(yaml.safe_dump(definition))
    return target


@pytest.fixture
def operator_restored(cluster: Cluster) -> Iterator[None]:
    """Whatever a test does to the release: afterwards it is installed from the working copy."""
    yield
    install(cluster, CHART)


def install(cluster: Cluster, chart: str) -> None:
    """``helm upgrade --install``, as ``kind/install.sh`` does, from a chart."""
    repository, _, tag = cluster.image.rpartition(":")
    command = f"helm upgrade --install cloudscale {chart} --namespace {OPERATOR_NAMESPACE} --wait --timeout 180s"
    cluster.run(*command.split(), "--set", f"image.repository={repository},image.tag={tag}")


def columns(cluster: Cluster) -> int:
    """How many columns the resource definition in the cluster has."""
    return len(cluster.get(DEFINITION)["spec"]["versions"][0]["additionalPrinterColumns"])


@pytest.mark.usefixtures("operator_restored")
def test_another_chart_with_the_same_image_replaces_no_pod_and_brings_the_new_resource_definition(
    cluster: Cluster, sample_address: str, other_chart: Path
) -> None:
    install(cluster, str(other_chart))
    old_columns = columns(cluster)
    cluster.wait_ready("sample")
    before = {pod["metadata"]["uid"] for pod in cluster.pods("sample", "ingestion")}
    with Traffic(sample_address, prefix=f"replaced-{RUN}") as traffic:
        install(cluster, CHART)
        cluster.wait_ready("sample")
    wait_stored(cluster, "Events", traffic.accepted)
    assert columns(cluster) >= old_columns
    assert cluster.get("deployment/cloudscale-operator", namespace=OPERATOR_NAMESPACE)["metadata"]["labels"][
        "helm.sh/chart"
    ] == "cloudscale-{}".format(yaml.safe_load((ROOT / CHART / "Chart.yaml").read_text())["version"])
    after = {pod["metadata"]["uid"] for pod in cluster.pods("sample", "ingestion")}
    assert before & after, "the same image and resource must not replace the pods"


def test_an_operator_that_is_killed_while_it_applies_converges(cluster: Cluster) -> None:
    names = [f"interrupted-{number}" for number in range(5)]
    no_pods = {"replicas": {"min": 0, "max": 1}}
    cluster.apply(*(pipeline(name, processing=no_pods) for name in names))
    wait_until("the first children are made", lambda: cluster.exists(f"configmap/{names[0]}-pipeline"), seconds=60)
    cluster.delete_operator()
    for name in names:
        cluster.wait_ready(name)
        for child in (f"deployment/{name}-ingestion", f"deployment/{name}-worker", f"scaledobject/{name}-worker"):
            assert cluster.exists(child)
    cluster.kubectl("delete", "evp", *names, "--timeout=180s")


@pytest.mark.usefixtures("operator_restored")
def test_an_uninstall_leaves_pipelines_and_data(cluster: Cluster, sample_address: str) -> None:
    pods = {pod["metadata"]["uid"] for pod in cluster.pods("sample", "ingestion")}
    documents = len(stored(cluster, "Events"))
    cluster.run("helm", "uninstall", "cloudscale", "--namespace", OPERATOR_NAMESPACE, "--wait", "--timeout", "120s")
    assert cluster.exists("evp/sample")
    with Traffic(sample_address, prefix=f"unattended-{RUN}") as traffic:
        traffic.wait_accepted(200)
    wait_stored(cluster, "Events", traffic.accepted)
    assert pods == {pod["metadata"]["uid"] for pod in cluster.pods("sample", "ingestion")}

    claims = {claim["metadata"]["uid"] for claim in cluster.get("pvc")["items"]}
    manifest = json.loads(cluster.run("helm", "list", "--namespace", NAMESPACE, "--output", "json"))
    assert [release["name"] for release in manifest] == ["cloudscale-backends"]
    values = cluster.run("helm", "get", "values", "cloudscale-backends", "--namespace", NAMESPACE, "--output", "json")
    cluster.run("helm", "uninstall", "cloudscale-backends", "--namespace", NAMESPACE, "--wait", "--timeout", "120s")
    assert {claim["metadata"]["uid"] for claim in cluster.get("pvc")["items"]} == claims
    cluster.run(
        *f"helm install cloudscale-backends charts/cloudscale-backends --namespace {NAMESPACE} --wait".split(),
        "--timeout=180s",
        "--values=-",
        stdin=values,
    )
    assert len(stored(cluster, "Events")) >= documents + len(traffic.accepted)
