"""Whom a pipeline admits whose resource does not say it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.operator.examples import CONTEXTS, pipeline
from tests.operator.harness import Harness, visit_of_a_new_generation

from cloudscale_operator.admittance import is_of_an_earlier_version, with_admittance
from cloudscale_operator.children import ChildKey
from cloudscale_operator.manifests.network import EVERYBODY, build_network_policies

if TYPE_CHECKING:
    from cloudscale.pipeline import EventPipeline
    from cloudscale_operator.kinds import Manifest

POLICY = ChildKey("NetworkPolicy", "example-ingestion")
PATH = "/apis/networking.k8s.io/v1/namespaces/shop/networkpolicies/example-ingestion"


def policy_of(of: EventPipeline) -> Manifest:
    return {each["metadata"]["name"]: each for each in build_network_policies(of, CONTEXTS["default"])}[POLICY.name]


def of_the_version_before() -> Manifest:
    policy = policy_of(pipeline())
    del policy["spec"]["ingress"][0]["from"]
    return policy


def peers(of: EventPipeline, live: dict[ChildKey, Manifest]) -> Any:
    return policy_of(with_admittance(of, live))["spec"]["ingress"][0]["from"]


def test_a_new_pipeline_admits_those_that_are_known_to_need_it() -> None:
    assert peers(pipeline(), {}) == policy_of(pipeline())["spec"]["ingress"][0]["from"] != EVERYBODY


def test_a_pipeline_of_the_version_before_goes_on_and_is_told_so_once() -> None:
    before = {POLICY: of_the_version_before()}
    assert is_of_an_earlier_version(pipeline(), before)
    assert peers(pipeline(), before) == EVERYBODY

    policies = build_network_policies(with_admittance(pipeline(), before), CONTEXTS["default"])
    (worker,) = [each["spec"]["ingress"] for each in policies if each["metadata"]["name"] == "example-worker"]
    assert worker[0]["from"] == [{"namespaceSelector": {}}]

    after = {POLICY: policy_of(with_admittance(pipeline(), before))}
    assert not is_of_an_earlier_version(pipeline(), after)
    assert peers(pipeline(), after) == EVERYBODY


def test_what_the_resource_says_holds_whatever_was_before() -> None:
    closed = pipeline({"networkPolicy": {"ingressNamespaces": []}})
    for live in ({}, {POLICY: of_the_version_before()}, {POLICY: policy_of(pipeline())}):
        assert peers(closed, live) == policy_of(pipeline())["spec"]["ingress"][0]["from"]


def test_a_pipeline_that_is_closed_stays_so_when_its_resource_stops_saying_it() -> None:
    assert peers(pipeline(), {POLICY: policy_of(pipeline({"networkPolicy": {"ingressNamespaces": []}}))}) != EVERYBODY


async def test_an_upgrade_shuts_nobody_out_and_says_who_is_let_in(harness: Harness) -> None:
    harness.server.add_pipeline(spec={})
    await harness.visit()
    assert "NetworkOpen" not in harness.events()
    del harness.server.objects[PATH]["spec"]["ingress"][0]["from"]

    await harness.visit()
    assert harness.events().count("NetworkOpen") == 1
    assert harness.server.objects[PATH]["spec"]["ingress"][0]["from"] == EVERYBODY

    await visit_of_a_new_generation(harness)
    assert harness.events().count("NetworkOpen") == 1
    assert harness.server.objects[PATH]["spec"]["ingress"][0]["from"] == EVERYBODY
