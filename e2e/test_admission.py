"""The API server refuses bad resources at their field and completes good ones, as the CRD tells it."""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING, Any

import pytest
from tests.bad_pipelines import BAD_PIPELINES, BadPipeline

from cloudscale.pipeline import as_document, load

if TYPE_CHECKING:
    from collections.abc import Iterator

    from e2e.cluster import Cluster


@pytest.fixture(scope="module")
def namespace(cluster: Cluster) -> Iterator[str]:
    name = f"admission-{uuid.uuid4().hex[:8]}"
    cluster.run("kubectl", "create", "namespace", name)
    yield name
    cluster.run("kubectl", "delete", "namespace", name, "--wait=false")


def apply(cluster: Cluster, namespace: str, spec: dict[str, Any], *, name: str) -> None:
    # Nothing has been taken in, so there is nothing to wait for when the namespace goes.
    document = _document(name, {"deletion": "Immediate"} | spec)
    cluster.kubectl("apply", "--filename=-", namespace=namespace, stdin=json.dumps(document))


@pytest.mark.parametrize("bad", BAD_PIPELINES, ids=lambda bad: bad.title)
def test_a_bad_resource_is_refused_at_its_field(cluster: Cluster, namespace: str, bad: BadPipeline) -> None:
    with pytest.raises(AssertionError) as caught:
        cluster.kubectl(
            "apply", "--dry-run=server", "--filename=-", namespace=namespace, stdin=json.dumps(bad.document)
        )
    assert bad.path in str(caught.value)
    assert bad.reason_at_the_server in str(caught.value)


def test_the_api_server_fills_in_the_same_defaults_as_the_loader(cluster: Cluster, namespace: str) -> None:
    document = _document("empty", {})
    answer = cluster.kubectl(
        "apply", "--dry-run=server", "--output=json", "--filename=-", namespace=namespace, stdin=json.dumps(document)
    )
    assert json.loads(answer)["spec"] == as_document(load(document))["spec"]


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"queue": {"name": "other"}}, "spec.queue.name"),
        ({"store": {"database": "Other"}}, "spec.store.database"),
        ({"store": {"container": "Other"}}, "spec.store.container"),
        ({"store": {"partitionBuckets": 4}}, "spec.store.partitionBuckets"),
    ],
)
def test_what_names_the_data_cannot_be_changed(
    cluster: Cluster, namespace: str, change: dict[str, Any], path: str
) -> None:
    apply(cluster, namespace, {}, name="fixed")
    with pytest.raises(AssertionError, match=f"{path}: Invalid value.*is immutable"):
        apply(cluster, namespace, change, name="fixed")


def test_everything_else_can_be_changed(cluster: Cluster, namespace: str) -> None:
    apply(cluster, namespace, {}, name="changing")
    apply(cluster, namespace, {"paused": True, "processing": {"replicas": {"min": 0}}}, name="changing")
    assert cluster.get("evp/changing", namespace=namespace)["spec"]["paused"] is True


def test_kubectl_scale_moves_the_least_number_of_workers(cluster: Cluster, namespace: str) -> None:
    apply(cluster, namespace, {}, name="scaled")
    cluster.kubectl("scale", "evp/scaled", "--replicas=3", namespace=namespace)
    assert cluster.get("evp/scaled", namespace=namespace)["spec"]["processing"]["replicas"]["min"] == 3


@pytest.mark.parametrize("path", ["evp.spec.processing", "evp.spec.queue.connectionSecretRef", "evp.status.conditions"])
def test_explain_reads_like_documentation(cluster: Cluster, path: str) -> None:
    assert "<no description>" not in cluster.run("kubectl", "explain", path)


def _document(name: str, spec: dict[str, Any]) -> dict[str, Any]:
    metadata = {"name": name}
    return {"apiVersion": "cloudscale.io/v1alpha1", "kind": "EventPipeline", "metadata": metadata, "spec": spec}
