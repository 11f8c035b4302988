"""Objects of the operator that are edited or deleted are restored within seconds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from e2e.cluster import wait_until

if TYPE_CHECKING:
    from e2e.cluster import Cluster

REPAIR_SECONDS = 10


@pytest.mark.parametrize(
    "child",
    [
        "deployment/sample-ingestion",
        "service/sample-ingestion",
        "configmap/sample-pipeline",
        "scaledobject/sample-worker",
        "poddisruptionbudget/sample-ingestion",
    ],
)
def test_a_deleted_child_is_back(cluster: Cluster, sample_address: str, child: str) -> None:
    kind, _, name = child.partition("/")
    before = cluster.get(child)["metadata"]["uid"]
    cluster.kubectl("delete", child, "--wait=false")

    def is_new() -> bool:
        listed = cluster.get(kind, f"--field-selector=metadata.name={name}")["items"]
        return any(each["metadata"]["uid"] != before for each in listed)

    wait_until(f"{child} is made again", is_new, seconds=REPAIR_SECONDS)


def test_an_edited_deployment_is_put_right(cluster: Cluster, sample_address: str) -> None:
    deployment = "deployment/sample-worker"

    def container() -> dict[str, str]:
        found: dict[str, str] = cluster.get(deployment)["spec"]["template"]["spec"]["containers"][0]
        return found

    wanted = container()["image"]
    cluster.kubectl("set", "image", deployment, f"{container()['name']}=example.com/another:1")
    wait_until("the image is the pipeline's again", lambda: container()["image"] == wanted, seconds=REPAIR_SECONDS)
    cluster.wait_ready("sample")


def test_an_edited_service_is_put_right(cluster: Cluster, sample_address: str) -> None:
    service = "service/sample-ingestion"
    cluster.kubectl(
        "patch", service, "--type=merge", "--patch", '{"spec":{"selector":{"app.kubernetes.io/instance":"x"}}}'
    )
    wait_until(
        "the Service leads to the sample again",
        lambda: cluster.get(service)["spec"]["selector"]["app.kubernetes.io/instance"] == "sample",
        seconds=REPAIR_SECONDS,
    )
