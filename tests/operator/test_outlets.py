"""A pipeline with outlets has one pod that sends to them, with their secrets and a way out to their ports."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from tests.operator.harness import add_secret, visit_of_a_new_generation

if TYPE_CHECKING:
    from tests.operator.harness import Harness

DEPLOYMENT = "/apis/apps/v1/namespaces/shop/deployments/example-outlets"
POLICY = "/apis/networking.k8s.io/v1/namespaces/shop/networkpolicies/example-outlets"


def outlets(url: str = "https://crm.example:8443/hooks", **webhook: Any) -> list[dict[str, Any]]:
    return [{"name": "crm", "webhook": {"url": url, "secretRef": {"name": "hook", "key": "secret"}, **webhook}}]


def template(harness: Harness, name: str) -> dict[str, Any]:
    """A copy of the pods that a Deployment makes."""
    return copy.deepcopy(harness.server.objects[DEPLOYMENT.replace("outlets", name)]["spec"]["template"])


async def test_a_pipeline_with_outlets_has_one_pod_that_sends(harness: Harness) -> None:
    add_secret(harness.server, "hook", secret="whsec_1")
    harness.server.add_pipeline(spec={"outlets": outlets()})
    await harness.visit()
    deployment = harness.server.objects[DEPLOYMENT]
    assert deployment["spec"]["replicas"] == 1
    assert deployment["spec"]["strategy"] == {"type": "Recreate"}
    pod = deployment["spec"]["template"]["spec"]
    assert pod["serviceAccountName"] == "example-follower"
    (container,) = pod["containers"]
    assert container["args"] == ["python", "-m", "cloudscale.follower", "outlets"]
    variables = {each["name"]: each.get("value", each.get("valueFrom")) for each in container["env"]}
    assert variables["CLOUDSCALE_OUTLET_SECRET_CRM"] == {"secretKeyRef": {"name": "hook", "key": "secret"}}
    assert "CLOUDSCALE_ARCHIVE_CONNECTION_STRING" not in variables
    assert "CLOUDSCALE_SERVICEBUS_CONNECTION_STRING" not in variables
    (outward,) = harness.server.objects[POLICY]["spec"]["egress"]
    assert outward["ports"] == [{"protocol": "TCP", "port": 8443}]
    assert not [path for path in harness.server.objects if path.endswith("/deployments/example-follower")]


async def test_a_new_signing_secret_replaces_the_pod_that_sends_and_no_other(harness: Harness) -> None:
    add_secret(harness.server, "hook", secret="whsec_1")
    harness.server.add_pipeline(spec={"outlets": outlets()})
    await harness.visit()

    before = {name: template(harness, name) for name in ("outlets", "worker")}
    add_secret(harness.server, "hook", secret="whsec_2 whsec_1")
    await visit_of_a_new_generation(harness)
    assert template(harness, "worker") == before["worker"]
    assert template(harness, "outlets") != before["outlets"]


async def test_a_changed_outlet_replaces_the_pod_that_sends_and_no_other(harness: Harness) -> None:
    add_secret(harness.server, "hook", secret="whsec_1")
    harness.server.add_pipeline(spec={"outlets": outlets()})
    await harness.visit()
    names = ("outlets", "worker", "ingestion")
    before = {name: template(harness, name) for name in names}
    body = harness.server.pipeline()
    assert body is not None
    body["spec"]["outlets"] = outlets(batch=100)
    await visit_of_a_new_generation(harness)
    assert [name for name in names if template(harness, name) != before[name]] == ["outlets"]


async def test_an_outlet_without_its_secret_says_so(harness: Harness) -> None:
    harness.server.add_pipeline(spec={"outlets": outlets()})
    await harness.visit()
    assert harness.condition("Ready")["reason"] == "SecretMissing"
    assert "the outlet crm needs the Secret hook, which does not exist" in harness.condition("Ready")["message"]


async def test_a_private_receiver_must_be_at_a_host_that_the_operator_allows(harness: Harness) -> None:
    add_secret(harness.server, "hook", secret="whsec_1")
    harness.server.add_pipeline(spec={"outlets": outlets("http://crm.other.svc/", allowPrivate=True)})
    await harness.visit()
    assert harness.condition("Ready")["reason"] == "HostNotAllowed"
    assert "its host crm.other.svc is not one that the operator allows" in harness.condition("Ready")["message"]


async def test_a_pipeline_whose_outlets_are_taken_out_loses_its_sender(harness: Harness) -> None:
    add_secret(harness.server, "hook", secret="whsec_1")
    harness.server.add_pipeline(spec={"outlets": outlets()})
    await harness.visit()
    assert DEPLOYMENT in harness.server.objects
    body = harness.server.pipeline()
    assert body is not None
    del body["spec"]["outlets"]
    await harness.visit()
    assert not [path for path in harness.server.objects if path.endswith("/example-outlets")]
