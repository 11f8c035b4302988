"""Specification to objects, compared with recorded ones; ``python -m tests.operator.examples`` records them anew."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import yaml
from tests.operator.examples import SNAPSHOTS, build, cases, differences, find

from cloudscale_operator.children import is_owned

if TYPE_CHECKING:
    from cloudscale_operator.kinds import Manifest


@pytest.mark.parametrize("name", cases())
def test_a_specification_becomes_the_recorded_objects(name: str) -> None:
    assert differences(name) == yaml.load((SNAPSHOTS / f"{name}.yaml").read_text(), yaml.CSafeLoader)


def test_every_recording_belongs_to_a_specification() -> None:
    assert {path.stem for path in SNAPSHOTS.iterdir()} == set(cases())


@pytest.mark.parametrize("objects", cases().values(), ids=cases())
def test_every_object_is_owned_and_labelled(objects: list[Manifest]) -> None:
    for item in objects:
        assert is_owned(item, "uid-1")
        assert item["metadata"]["labels"]["cloudscale.io/pipeline"] == "example"
        assert item["metadata"]["namespace"] == "shop"


def test_an_owner_is_waited_for_by_the_garbage_collector() -> None:
    for item in build():
        (owner,) = item["metadata"]["ownerReferences"]
        assert (owner["uid"], owner["controller"], owner["blockOwnerDeletion"]) == ("uid-1", True, True)


def test_the_garbage_collector_finds_nothing_of_a_pipeline_that_is_being_drained() -> None:
    assert not [item for item in build(context="draining") if "ownerReferences" in item["metadata"]]


def test_what_a_pod_needs_comes_before_the_pod() -> None:
    kinds = [item["kind"] for item in build()]
    assert kinds.index("ConfigMap") < kinds.index("Deployment") < kinds.index("ScaledObject")
    assert kinds.index("ServiceAccount") < kinds.index("Deployment")


@pytest.mark.parametrize(
    "spec",
    [
        {"processing": {"prefetch": 7}},
        {"eventTypes": [{"name": "refund"}]},
        {"ingestion": {"rateLimits": {"perClient": {"burst": 5}}}},
        {"telemetry": {"logLevel": "debug"}},
    ],
)
def test_what_a_service_reads_at_its_start_rolls_the_pods(spec: dict[str, object]) -> None:
    assert _template("worker", spec) != _template("worker", {})
    assert _template("ingestion", spec) != _template("ingestion", {})


@pytest.mark.parametrize(
    "spec",
    [
        {"paused": True},
        {"processing": {"replicas": {"min": 5}}},
        {"ingestion": {"replicas": {"max": 50}}},
        {"drainDeadline": "1h"},
        {"dashboard": {"enabled": False}},
        {"expose": {"ingress": {"host": "example.com"}}},
    ],
)
def test_what_no_service_reads_leaves_the_pods_alone(spec: dict[str, object]) -> None:
    assert _template("worker", spec) == _template("worker", {})
    assert _template("ingestion", spec) == _template("ingestion", {})


def _template(role: str, spec: dict[str, object]) -> object:
    return find(build(spec), "Deployment", role)["spec"]["template"]
