"""Reconciling with the real client against an API server in memory, and with the real broker emulator for depths."""

from __future__ import annotations

import base64
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from tests.operator.harness import (
    KEY,
    WAIT,
    Harness,
    add_secret,
    egress_ports,
    make_ready,
    owners_of_replicas,
    remove_secrets,
    send,
    visit_of_a_new_generation,
)
from tests.waiting import wait_until

from cloudscale_operator.api import KubernetesApi
from cloudscale_operator.delays import MISSING_SECONDS, REFUSED_SECONDS, UNANSWERED_VISITS
from cloudscale_operator.errors import ImpossibleError, PostponedError
from cloudscale_operator.names import FINALIZER

if TYPE_CHECKING:
    from pathlib import Path

    from tests.operator.api_server import ApiServer
    from tests.servers.servicebus import ServiceBusServer


async def test_a_new_pipeline_gets_its_objects_and_a_finalizer(harness: Harness) -> None:
    harness.server.add_pipeline(spec={})
    await harness.visit()
    assert harness.server.names("Deployment") == ["example-dashboard", "example-ingestion", "example-worker"]
    assert harness.server.names("ScaledObject") == ["example-ingestion", "example-worker"]
    body = harness.server.pipeline()
    assert body is not None
    assert body["metadata"]["finalizers"] == [FINALIZER]


async def test_a_pipeline_in_its_place_costs_no_request(harness: Harness) -> None:
    harness.server.add_pipeline(spec={})
    await harness.visit_with_depth()
    await harness.visit()
    assert harness.server.requests == []


async def test_a_new_operator_applies_nothing_that_is_in_place(
    harness: Harness, server: ApiServer, tmp_path: Path
) -> None:
    server.add_pipeline(spec={})
    await harness.visit_with_depth()
    async with KubernetesApi(server.client()) as api:
        successor = Harness(server, api, harness.readers)
        await successor.visit()
    assert {method for method, _ in server.requests} == {"GET"}


async def test_a_deleted_child_comes_back(harness: Harness) -> None:
    harness.server.add_pipeline(spec={})
    await harness.visit()
    del harness.server.objects["/api/v1/namespaces/shop/services/example-ingestion"]
    await harness.visit()
    assert "example-ingestion" in harness.server.names("Service")


async def test_an_edited_child_is_mended(harness: Harness) -> None:
    harness.server.add_pipeline(spec={})
    await harness.visit()
    service = harness.server.objects["/api/v1/namespaces/shop/services/example-ingestion"]
    service["spec"]["ports"][0]["port"] = 81
    await harness.visit()
    service = harness.server.objects["/api/v1/namespaces/shop/services/example-ingestion"]
    assert service["spec"]["ports"][0]["port"] == 80


async def test_what_is_no_longer_wanted_is_deleted(harness: Harness) -> None:
    harness.server.add_pipeline(spec={})
    await harness.visit()
    body = harness.server.pipeline()
    assert body is not None
    body["spec"] = {"dashboard": {"enabled": False}}
    await harness.visit()
    assert "example-dashboard" not in harness.server.names("Deployment")
    assert harness.server.names("Role") == []


async def test_an_object_of_somebody_else_is_left_alone(harness: Harness) -> None:
    labels = {"cloudscale.io/pipeline": "example"}
    metadata = {"name": "example-own", "namespace": "shop", "labels": labels}
    harness.server.store("/api/v1/namespaces/shop/services/example-own", {"kind": "Service", "metadata": metadata})
    harness.server.add_pipeline(spec={})
    await harness.visit()
    assert "example-own" in harness.server.names("Service")


@pytest.mark.parametrize("labels", [{}, {"cloudscale.io/pipeline": "example"}], ids=["unlabelled", "labelled"])
async def test_an_object_of_somebody_else_is_never_adopted_and_named(harness: Harness, labels: dict[str, str]) -> None:
    path = "/api/v1/namespaces/shop/configmaps/example-pipeline"
    metadata = {"name": "example-pipeline", "namespace": "shop", "labels": labels}
    own = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"my": "own"}}
    before = harness.server.store(path, own)
    harness.server.add_pipeline(spec={})
    assert await harness.visit() == REFUSED_SECONDS
    assert harness.server.objects[path] == before
    assert harness.status["phase"] == "Failed"
    assert harness.condition("Ready")["reason"] == "NameTaken"
    assert "the ConfigMap example-pipeline is there and does not belong" in harness.condition("Ready")["message"]

    harness.server.remove(path)
    await harness.visit()
    assert "pipeline.json" in harness.server.objects[path]["data"]
    assert harness.condition("Ready")["reason"] != "NameTaken"


async def test_a_new_object_costs_one_request(harness: Harness) -> None:
    harness.server.add_pipeline(spec={})
    await harness.visit()
    patched = [path for method, path in harness.server.requests if method == "PATCH"]
    assert len(patched) == len(set(patched))
    assert not [path for method, path in harness.server.requests if method == "GET" and "/deployments/" in path]


async def test_an_own_object_that_no_watch_has_shown_yet_is_applied(harness: Harness, server: ApiServer) -> None:
    server.add_pipeline(spec={})
    await harness.visit()
    async with KubernetesApi(server.client()) as api:
        successor = Harness(server, api, harness.readers)
        body = server.pipeline()
        assert body is not None
        successor.reconciler.pipelines.observe(body)
        await successor.reconciler.reconcile(KEY)
    assert harness.condition("Ready")["reason"] not in ("NameTaken", "ApplyRefused")


async def test_objects_of_an_earlier_pipeline_of_that_name_are_taken_over(harness: Harness) -> None:
    harness.server.add_pipeline(spec={})
    await harness.visit()
    harness.server.add_pipeline(spec={}, metadata={"uid": "another"})
    await harness.visit()
    owners = {
        reference["uid"]
        for item in harness.server.objects.values()
        # The operator can change no Secret: the garbage collector takes those of the earlier pipeline away.
        if item["kind"] != "Secret"
        for reference in item["metadata"].get("ownerReferences", ())
    }
    assert owners == {"another"}


async def test_keda_that_is_installed_later_finds_the_workers_as_many_as_they_were(
    harness: Harness, server: ApiServer
) -> None:
    server.groups.discard("/apis/keda.sh/v1alpha1")
    server.add_pipeline(spec={"processing": {"replicas": {"min": 3}}})
    await harness.visit()
    server.groups.add("/apis/keda.sh/v1alpha1")
    worker = "/apis/apps/v1/namespaces/shop/deployments/example-worker"
    async with KubernetesApi(server.client()) as api:
        # A new operator looks at once which kinds there are.
        successor = Harness(server, api, harness.readers)
        await successor.visit()
        assert "example-worker" in server.names("ScaledObject")
        assert server.objects[worker]["spec"]["replicas"] == 3
        assert "cloudscale-operator-replicas" in owners_of_replicas(server, worker)
        assert "cloudscale-operator" not in owners_of_replicas(server, worker)

        body = server.pipeline()
        assert body is not None
        body["spec"]["processing"]["prefetch"] = 7
        await successor.visit()
        assert server.objects[worker]["spec"]["replicas"] == 3


async def test_a_refused_request_is_told_where_ready_was_true_before(harness: Harness) -> None:
    await make_ready(harness)
    harness.server.refusals["/secrets/"] = 403
    with pytest.raises(PostponedError):
        await visit_of_a_new_generation(harness)
    assert harness.condition("Ready")["status"] == "False"
    assert harness.condition("Ready")["reason"] == "ApiServerRefused"
    assert "/secrets/" in harness.condition("Ready")["message"]
    harness.server.refusals.clear()
    await harness.visit()
    assert harness.condition("Ready")["status"] == "True"


async def test_a_defect_is_told_and_goes_on_as_an_error(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    await make_ready(harness)
    monkeypatch.setattr("cloudscale_operator.reconcile.desired_objects", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        await harness.visit()
    assert harness.condition("Ready")["reason"] == "ReconcileFailed"
    assert "ZeroDivisionError" in harness.condition("Ready")["message"]
    assert harness.status["phase"] == "Failed"


async def test_an_api_server_that_fails_again_and_again_is_told_and_one_lost_answer_is_not(harness: Harness) -> None:
    await make_ready(harness)
    harness.server.refusals["/secrets/"] = 500
    for _ in range(UNANSWERED_VISITS - 1):
        with pytest.raises(PostponedError):
            await visit_of_a_new_generation(harness)
    assert harness.condition("Ready")["status"] == "True"
    with pytest.raises(PostponedError):
        await visit_of_a_new_generation(harness)
    assert harness.condition("Ready")["reason"] == "ApiServerUnavailable"


async def test_the_status_shows_the_depth_of_the_queue(harness: Harness) -> None:
    harness.server.add_pipeline(spec={})
    status = await harness.visit_with_depth()
    assert (status["queueDepth"], status["deadLetters"], status["concurrency"]) == (0, 0, 32)
    assert harness.condition("BackendsReachable")["status"] == "True"


async def test_a_pipeline_becomes_ready_and_says_so(harness: Harness) -> None:
    harness.server.add_pipeline(spec={})
    await harness.visit_with_depth()
    harness.make_available("ingestion", "worker", "dashboard")
    await harness.visit()
    assert harness.status["phase"] == "Ready"
    assert harness.condition("Ready")["status"] == "True"
    assert "AllAvailable" in harness.events()


async def test_it_is_remembered_since_when_a_queue_has_waited_for_a_worker(
    harness: Harness, broker: ServiceBusServer
) -> None:
    spec = {"queue": {"name": "unserved"}, "processing": {"replicas": {"min": 0}, "concurrency": {"interval": "1s"}}}
    harness.server.add_pipeline(spec=spec)
    await harness.visit_with_depth()
    harness.make_available("worker", replicas=0)
    await harness.visit()
    assert harness.condition("WorkersAvailable")["reason"] == "ScaledToZero"
    await send(broker, "unserved")

    async def noticed() -> bool:
        await harness.visit()
        return "Waking" in harness.condition("WorkersAvailable").values()

    await wait_until(noticed, within=WAIT, interval=timedelta(milliseconds=200))


async def test_a_missing_secret_is_named(harness: Harness) -> None:
    del harness.server.objects["/api/v1/namespaces/shop/secrets/cloudscale-redis"]
    harness.server.add_pipeline(spec={})
    await harness.visit()
    assert harness.status["phase"] == "Pending"
    assert "the Secret cloudscale-redis, which does not exist" in harness.condition("Ready")["message"]


async def test_a_missing_secret_is_looked_for_before_long_but_not_at_every_visit(harness: Harness) -> None:
    del harness.server.objects["/api/v1/namespaces/shop/secrets/cloudscale-redis"]
    harness.server.add_pipeline(spec={})
    assert await harness.visit() == MISSING_SECONDS
    await harness.visit()
    assert not [path for _, path in harness.server.requests if "/secrets/" in path]


async def test_a_secret_without_the_key_is_named(harness: Harness) -> None:
    add_secret(harness.server, "cloudscale-redis", address="redis://")
    harness.server.add_pipeline(spec={})
    await harness.visit()
    assert "the key url of the Secret cloudscale-redis" in harness.condition("Ready")["message"]


async def test_a_secret_that_is_no_text_is_named(harness: Harness) -> None:
    harness.server.objects["/api/v1/namespaces/shop/secrets/cloudscale-redis"]["data"]["url"] = "/w=="
    harness.server.add_pipeline(spec={})
    await harness.visit()
    assert "cloudscale-redis, which is not text in UTF-8" in harness.condition("Ready")["message"]


async def test_a_port_that_a_secret_names_is_let_out(harness: Harness) -> None:
    add_secret(harness.server, "cloudscale-redis", url="redis://redis:7000/0")
    harness.server.add_pipeline(spec={})
    await harness.visit()
    assert 7000 in egress_ports(harness.server)


async def test_a_secret_that_is_gone_closes_no_port_to_the_pods_that_have_read_it(harness: Harness) -> None:
    add_secret(harness.server, "cloudscale-redis", url="redis://redis:7000/0")
    harness.server.add_pipeline(spec={})
    await harness.visit()
    del harness.server.objects["/api/v1/namespaces/shop/secrets/cloudscale-redis"]
    body = harness.server.pipeline()
    assert body is not None
    body["metadata"]["generation"] = 2
    await harness.visit()
    assert harness.condition("Ready")["reason"] == "SecretMissing"
    assert 7000 in egress_ports(harness.server)


async def test_a_changed_secret_rolls_the_pods(harness: Harness) -> None:
    harness.server.add_pipeline(spec={})
    await harness.visit()
    template = "/apis/apps/v1/namespaces/shop/deployments/example-worker"
    before = harness.server.objects[template]["spec"]["template"]
    add_secret(harness.server, "cloudscale-redis", url="redis://other:6379/0")
    body = harness.server.pipeline()
    assert body is not None
    body["metadata"]["generation"] = 2
    await harness.visit()
    assert harness.server.objects[template]["spec"]["template"] != before


async def test_kedas_scaler_is_built_anew_when_the_brokers_secret_changes_and_for_no_other(harness: Harness) -> None:
    harness.server.add_pipeline(spec={})
    await harness.visit()
    path = "/apis/keda.sh/v1alpha1/namespaces/shop/scaledobjects/example-worker"
    before = harness.server.objects[path]["spec"]

    add_secret(harness.server, "cloudscale-redis", url="redis://other:6379/0")
    await visit_of_a_new_generation(harness)
    assert harness.server.objects[path]["spec"] == before

    add_secret(harness.server, "cloudscale-servicebus", connectionString="Endpoint=sb://other;SharedAccessKey=x")
    await visit_of_a_new_generation(harness)
    after = harness.server.objects[path]["spec"]
    assert after != before
    assert "SharedAccessKey" not in str(after)

    harness.server.remove("/api/v1/namespaces/shop/secrets/cloudscale-servicebus")
    await visit_of_a_new_generation(harness)
    assert harness.server.objects[path]["spec"] == after


async def test_a_secret_that_is_gone_rolls_no_pods(harness: Harness) -> None:
    harness.server.add_pipeline(spec={})
    await harness.visit()
    path = "/apis/apps/v1/namespaces/shop/deployments/example-worker"
    before = harness.server.objects[path]["spec"]["template"]
    remove_secrets(harness.server)
    await visit_of_a_new_generation(harness)
    assert harness.condition("Ready")["reason"] == "SecretMissing"
    assert harness.server.objects[path]["spec"]["template"] == before


async def test_a_missing_secret_of_the_dashboard_is_named(harness: Harness) -> None:
    harness.server.add_pipeline(spec={"dashboard": {"tokenSecretRef": {"name": "tokens", "key": "token"}}})
    await harness.visit()
    assert harness.condition("Ready")["reason"] == "SecretMissing"
    assert "the dashboard needs the Secret tokens, which does not exist" in harness.condition("Ready")["message"]


async def test_a_missing_secret_of_one_role_is_named(harness: Harness) -> None:
    secret = {"name": "sender", "key": "connectionString"}
    harness.server.add_pipeline(spec={"queue": {"roleSecretRefs": {"ingestion": secret}}})
    await harness.visit()
    assert harness.condition("Ready")["reason"] == "SecretMissing"
    assert "the queue for ingestion needs the Secret sender, which does not" in harness.condition("Ready")["message"]


async def test_a_missing_certificate_is_named(harness: Harness) -> None:
    harness.server.add_pipeline(spec={"ingestion": {"tlsSecretName": "events-tls"}})
    add_secret(harness.server, "events-tls", **{"tls.crt": "certificate"})
    await harness.visit()
    assert harness.condition("Ready")["reason"] == "SecretMissing"
    message = harness.condition("Ready")["message"]
    assert "ingestion's private key needs the key tls.key of the Secret events-tls, which it does not have" in message


async def test_a_renewed_certificate_replaces_the_pod_of_the_dashboard_and_no_other(harness: Harness) -> None:
    add_secret(harness.server, "tls", **{"tls.crt": "first", "tls.key": "first"})
    harness.server.add_pipeline(spec={"ingestion": {"tlsSecretName": "tls"}, "dashboard": {"tlsSecretName": "tls"}})
    await harness.visit()
    paths = {role: f"/apis/apps/v1/namespaces/shop/deployments/example-{role}" for role in ("ingestion", "dashboard")}
    before = {role: harness.server.objects[path]["spec"]["template"] for role, path in paths.items()}
    add_secret(harness.server, "tls", **{"tls.crt": "second", "tls.key": "second"})
    await visit_of_a_new_generation(harness)
    after = {role: harness.server.objects[path]["spec"]["template"] for role, path in paths.items()}
    assert after["ingestion"] == before["ingestion"]
    assert after["dashboard"] != before["dashboard"]


async def test_the_depth_is_read_with_the_key_that_is_meant_for_it(harness: Harness) -> None:
    found = harness.server.objects["/api/v1/namespaces/shop/secrets/cloudscale-servicebus"]["data"]
    held = base64.b64decode(found["connectionString"]).decode()
    add_secret(harness.server, "reader", connectionString=held)
    add_secret(harness.server, "cloudscale-servicebus", connectionString="Endpoint=sb://nobody;SharedAccessKey=x")
    secret = {"name": "reader", "key": "connectionString"}
    harness.server.add_pipeline(spec={"queue": {"roleSecretRefs": {"operator": secret}}})
    await harness.visit_with_depth()
    assert harness.condition("BackendsReachable")["status"] == "True"


async def test_a_missing_secret_of_given_keys_is_named(harness: Harness) -> None:
    harness.server.add_pipeline(spec={"access": {"keys": {"secretRef": {"name": "senders"}}}})
    await harness.visit()
    assert harness.condition("Ready")["reason"] == "SecretMissing"
    assert "the list of given keys needs the Secret senders, which does not" in harness.condition("Ready")["message"]
    assert "example-ingestion" in harness.server.names("Deployment")


async def test_changed_keys_roll_no_pods(harness: Harness) -> None:
    add_secret(harness.server, "senders", **{"keys.yaml": "[]"})
    harness.server.add_pipeline(spec={"access": {"keys": {"secretRef": {"name": "senders"}}}})
    await harness.visit()
    path = "/apis/apps/v1/namespaces/shop/deployments/example-ingestion"
    before = harness.server.objects[path]["spec"]["template"]
    add_secret(harness.server, "senders", **{"keys.yaml": "- http://host:7777"})
    await visit_of_a_new_generation(harness)
    assert harness.server.objects[path]["spec"]["template"] == before
    assert 7777 not in egress_ports(harness.server)


async def test_changed_tokens_of_the_dashboard_roll_no_pods(harness: Harness) -> None:
    add_secret(harness.server, "tokens", token="one http://host:7777")
    harness.server.add_pipeline(spec={"dashboard": {"tokenSecretRef": {"name": "tokens", "key": "token"}}})
    await harness.visit()
    path = "/apis/apps/v1/namespaces/shop/deployments/example-dashboard"
    before = harness.server.objects[path]["spec"]["template"]
    add_secret(harness.server, "tokens", token="two")
    await visit_of_a_new_generation(harness)
    assert harness.server.objects[path]["spec"]["template"] == before
    assert 7777 not in egress_ports(harness.server)


SIGN_IN = {
    "issuer": "https://login.example.com:8443",
    "clientId": "dashboard",
    "clientSecretRef": {"name": "client", "key": "secret"},
    "origin": "https://dashboard.example.com",
    "roles": [{"value": "operators", "role": "operator"}],
}


async def test_a_missing_secret_of_the_sign_in_is_named(harness: Harness) -> None:
    harness.server.add_pipeline(spec={"dashboard": {"signIn": SIGN_IN}})
    await harness.visit()
    assert harness.condition("Ready")["reason"] == "SecretMissing"
    message = harness.condition("Ready")["message"]
    assert "the dashboard's sign-in needs the Secret client, which does not exist" in message


async def test_a_changed_secret_of_the_sign_in_rolls_no_pods(harness: Harness) -> None:
    add_secret(harness.server, "client", secret="one http://host:7777")
    harness.server.add_pipeline(spec={"dashboard": {"signIn": SIGN_IN}})
    await harness.visit()
    path = "/apis/apps/v1/namespaces/shop/deployments/example-dashboard"
    before = harness.server.objects[path]["spec"]["template"]
    add_secret(harness.server, "client", secret="two")
    await visit_of_a_new_generation(harness)
    assert harness.server.objects[path]["spec"]["template"] == before
    assert 7777 not in egress_ports(harness.server)
    assert 8443 in egress_ports(harness.server)


async def test_a_pipeline_that_wakes_up_stays_ready(harness: Harness, broker: ServiceBusServer) -> None:
    spec = {"queue": {"name": "waking"}, "processing": {"replicas": {"min": 0}, "concurrency": {"interval": "1s"}}}
    harness.server.add_pipeline(spec=spec)
    await harness.visit_with_depth()
    harness.make_available("ingestion", "dashboard")
    harness.make_available("worker", replicas=0)
    await harness.visit()
    assert harness.condition("WorkersAvailable")["reason"] == "ScaledToZero"
    await send(broker, "waking")
    path = "/apis/apps/v1/namespaces/shop/deployments/example-worker"
    deployment = harness.server.objects[path]

    # KEDA asks for a replica, which the Deployment's controller sees a moment later, and which needs time to start.
    asked = {**deployment, "spec": {**deployment["spec"], "replicas": 1}}
    asked["metadata"] = {**deployment["metadata"], "generation": deployment["metadata"]["generation"] + 1}
    harness.server.store(path, asked)
    await harness.visit()
    assert harness.condition("WorkersAvailable")["reason"] == "Waking"
    assert harness.condition("Ready")["status"] == "True"
    harness.make_available("worker", available=0)
    await harness.visit()
    assert harness.condition("WorkersAvailable")["reason"] == "Waking"
    assert harness.condition("Ready")["status"] == "True"
    harness.make_available("worker")
    await harness.visit()
    assert harness.condition("WorkersAvailable")["reason"] == "ReplicasAvailable"
    assert harness.condition("Ready")["status"] == "True"

    # One that ran and is lost is no waking.
    harness.make_available("worker", available=0)
    await harness.visit()
    assert harness.condition("Ready")["reason"] == "NoReplicaAvailable"


async def test_a_specification_that_slipped_through_admission_fails_with_its_field(harness: Harness) -> None:
    harness.server.add_pipeline(spec={"eventTypes": [{"name": "refund", "schema": {"type": "nothing"}}]})
    with pytest.raises(ImpossibleError):
        await harness.visit()
    assert harness.status["phase"] == "Failed"
    assert harness.condition("Ready")["message"].startswith("spec.eventTypes[0].schema: ")


async def test_a_refused_object_is_told_and_does_not_stop_the_others(harness: Harness) -> None:
    harness.server.refusals["services/example-ingestion"] = 403
    harness.server.add_pipeline(spec={})
    await harness.visit()
    assert harness.condition("Ready")["reason"] == "ApplyRefused"
    assert "example-worker" in harness.server.names("Deployment")


async def test_an_api_server_that_fails_is_asked_again(harness: Harness) -> None:
    harness.server.refusals["configmaps"] = 503
    harness.server.add_pipeline(spec={})
    with pytest.raises(PostponedError, match="503"):
        await harness.visit()


async def test_a_change_that_the_watch_has_not_shown_yet_is_met_again(harness: Harness) -> None:
    harness.server.add_pipeline(spec={})
    harness.sync()
    harness.server.add_pipeline(spec={"paused": True})
    with pytest.raises(PostponedError, match="has been modified"):
        await harness.reconciler.reconcile(KEY)


async def test_without_keda_the_workers_are_fixed_and_the_condition_says_why(harness: Harness) -> None:
    harness.server.groups.discard("/apis/keda.sh/v1alpha1")
    harness.server.add_pipeline(spec={"processing": {"replicas": {"min": 3}}})
    await harness.visit()
    worker = harness.server.objects["/apis/apps/v1/namespaces/shop/deployments/example-worker"]
    assert worker["spec"]["replicas"] == 3
    assert harness.condition("ScalingActive")["reason"] == "KedaMissing"


async def test_a_pipeline_that_is_gone_is_forgotten(harness: Harness) -> None:
    harness.server.add_pipeline(spec={})
    await harness.visit_with_depth()
    harness.server.objects.clear()
    assert await harness.visit() is None
    assert harness.readers.latest(KEY) is None
