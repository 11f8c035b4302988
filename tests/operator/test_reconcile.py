"""Reconciling with the real client against an API server in memory, and with the real broker emulator for depths."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import kopf
import pytest
from tests.operator.bench import (
    KEY,
    WAIT,
    Bench,
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
from cloudscale_operator.names import FINALIZER
from cloudscale_operator.reconcile import MISSING_SECONDS, REFUSED_SECONDS, UNANSWERED

if TYPE_CHECKING:
    from pathlib import Path

    from tests.operator.api_server import ApiServer
    from tests.servers.servicebus import ServiceBusServer


async def test_a_new_pipeline_gets_its_objects_and_a_finalizer(bench: Bench) -> None:
    bench.server.add_pipeline(spec={})
    await bench.visit()
    assert bench.server.names("Deployment") == ["example-dashboard", "example-ingestion", "example-worker"]
    assert bench.server.names("ScaledObject") == ["example-ingestion", "example-worker"]
    body = bench.server.pipeline()
    assert body is not None
    assert body["metadata"]["finalizers"] == [FINALIZER]


async def test_a_pipeline_in_its_place_costs_no_request(bench: Bench) -> None:
    bench.server.add_pipeline(spec={})
    await bench.visit_with_depth()
    await bench.visit()
    assert bench.server.requests == []


async def test_a_new_operator_applies_nothing_that_is_in_place(bench: Bench, server: ApiServer, tmp_path: Path) -> None:
    server.add_pipeline(spec={})
    await bench.visit_with_depth()
    async with KubernetesApi(server.client()) as api:
        successor = Bench(server, api, bench.readers)
        await successor.visit()
    assert {method for method, _ in server.requests} == {"GET"}


async def test_a_deleted_child_comes_back(bench: Bench) -> None:
    bench.server.add_pipeline(spec={})
    await bench.visit()
    del bench.server.objects["/api/v1/namespaces/shop/services/example-ingestion"]
    await bench.visit()
    assert "example-ingestion" in bench.server.names("Service")


async def test_an_edited_child_is_mended(bench: Bench) -> None:
    bench.server.add_pipeline(spec={})
    await bench.visit()
    service = bench.server.objects["/api/v1/namespaces/shop/services/example-ingestion"]
    service["spec"]["ports"][0]["port"] = 81
    await bench.visit()
    service = bench.server.objects["/api/v1/namespaces/shop/services/example-ingestion"]
    assert service["spec"]["ports"][0]["port"] == 80


async def test_what_is_no_longer_wanted_is_deleted(bench: Bench) -> None:
    bench.server.add_pipeline(spec={})
    await bench.visit()
    body = bench.server.pipeline()
    assert body is not None
    body["spec"] = {"dashboard": {"enabled": False}}
    await bench.visit()
    assert "example-dashboard" not in bench.server.names("Deployment")
    assert bench.server.names("Role") == []


async def test_an_object_of_somebody_else_is_left_alone(bench: Bench) -> None:
    labels = {"cloudscale.io/pipeline": "example"}
    metadata = {"name": "example-own", "namespace": "shop", "labels": labels}
    bench.server.store("/api/v1/namespaces/shop/services/example-own", {"kind": "Service", "metadata": metadata})
    bench.server.add_pipeline(spec={})
    await bench.visit()
    assert "example-own" in bench.server.names("Service")


@pytest.mark.parametrize("labels", [{}, {"cloudscale.io/pipeline": "example"}], ids=["unlabelled", "labelled"])
async def test_an_object_of_somebody_else_is_never_adopted_and_named(bench: Bench, labels: dict[str, str]) -> None:
    path = "/api/v1/namespaces/shop/configmaps/example-pipeline"
    metadata = {"name": "example-pipeline", "namespace": "shop", "labels": labels}
    own = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"my": "own"}}
    before = bench.server.store(path, own)
    bench.server.add_pipeline(spec={})
    assert await bench.visit() == REFUSED_SECONDS
    assert bench.server.objects[path] == before
    assert bench.status["phase"] == "Failed"
    assert bench.condition("Ready")["reason"] == "NameTaken"
    assert "the ConfigMap example-pipeline is there and does not belong" in bench.condition("Ready")["message"]

    bench.server.remove(path)
    await bench.visit()
    assert "pipeline.json" in bench.server.objects[path]["data"]
    assert bench.condition("Ready")["reason"] != "NameTaken"


async def test_a_new_object_costs_one_request(bench: Bench) -> None:
    bench.server.add_pipeline(spec={})
    await bench.visit()
    patched = [path for method, path in bench.server.requests if method == "PATCH"]
    assert len(patched) == len(set(patched))
    assert not [path for method, path in bench.server.requests if method == "GET" and "/deployments/" in path]


async def test_an_own_object_that_no_watch_has_shown_yet_is_applied(bench: Bench, server: ApiServer) -> None:
    server.add_pipeline(spec={})
    await bench.visit()
    async with KubernetesApi(server.client()) as api:
        successor = Bench(server, api, bench.readers)
        body = server.pipeline()
        assert body is not None
        successor.reconciler.pipelines.observe(body)
        await successor.reconciler.reconcile(KEY)
    assert bench.condition("Ready")["reason"] not in ("NameTaken", "ApplyRefused")


async def test_objects_of_an_earlier_pipeline_of_that_name_are_taken_over(bench: Bench) -> None:
    bench.server.add_pipeline(spec={})
    await bench.visit()
    bench.server.add_pipeline(spec={}, metadata={"uid": "another"})
    await bench.visit()
    owners = {
        reference["uid"]
        for item in bench.server.objects.values()
        for reference in item["metadata"].get("ownerReferences", ())
    }
    assert owners == {"another"}


async def test_keda_that_is_installed_later_finds_the_workers_as_many_as_they_were(
    bench: Bench, server: ApiServer
) -> None:
    server.groups.discard("/apis/keda.sh/v1alpha1")
    server.add_pipeline(spec={"processing": {"replicas": {"min": 3}}})
    await bench.visit()
    server.groups.add("/apis/keda.sh/v1alpha1")
    worker = "/apis/apps/v1/namespaces/shop/deployments/example-worker"
    async with KubernetesApi(server.client()) as api:
        # A new operator looks at once which kinds there are.
        successor = Bench(server, api, bench.readers)
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


async def test_a_refused_request_is_told_where_ready_was_true_before(bench: Bench) -> None:
    await make_ready(bench)
    bench.server.refusals["/secrets/"] = 403
    with pytest.raises(kopf.TemporaryError):
        await visit_of_a_new_generation(bench)
    assert bench.condition("Ready")["status"] == "False"
    assert bench.condition("Ready")["reason"] == "ApiServerRefused"
    assert "/secrets/" in bench.condition("Ready")["message"]
    bench.server.refusals.clear()
    await bench.visit()
    assert bench.condition("Ready")["status"] == "True"


async def test_a_defect_is_told_and_goes_on_as_an_error(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    await make_ready(bench)
    monkeypatch.setattr("cloudscale_operator.reconcile.desired_objects", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        await bench.visit()
    assert bench.condition("Ready")["reason"] == "ReconcileFailed"
    assert "ZeroDivisionError" in bench.condition("Ready")["message"]
    assert bench.status["phase"] == "Failed"


async def test_an_api_server_that_fails_again_and_again_is_told_and_one_lost_answer_is_not(bench: Bench) -> None:
    await make_ready(bench)
    bench.server.refusals["/secrets/"] = 500
    for _ in range(UNANSWERED - 1):
        with pytest.raises(kopf.TemporaryError):
            await visit_of_a_new_generation(bench)
    assert bench.condition("Ready")["status"] == "True"
    with pytest.raises(kopf.TemporaryError):
        await visit_of_a_new_generation(bench)
    assert bench.condition("Ready")["reason"] == "ApiServerUnavailable"


async def test_the_status_shows_the_depth_of_the_queue(bench: Bench) -> None:
    bench.server.add_pipeline(spec={})
    status = await bench.visit_with_depth()
    assert (status["queueDepth"], status["deadLetters"], status["concurrency"]) == (0, 0, 32)
    assert bench.condition("BackendsReachable")["status"] == "True"


async def test_a_pipeline_becomes_ready_and_says_so(bench: Bench) -> None:
    bench.server.add_pipeline(spec={})
    await bench.visit_with_depth()
    bench.make_available("ingestion", "worker", "dashboard")
    await bench.visit()
    assert bench.status["phase"] == "Ready"
    assert bench.condition("Ready")["status"] == "True"
    assert "AllAvailable" in bench.events()


async def test_it_is_remembered_since_when_a_queue_has_waited_for_a_worker(
    bench: Bench, broker: ServiceBusServer
) -> None:
    spec = {"queue": {"name": "unserved"}, "processing": {"replicas": {"min": 0}, "concurrency": {"interval": "1s"}}}
    bench.server.add_pipeline(spec=spec)
    await bench.visit_with_depth()
    bench.make_available("worker", replicas=0)
    await bench.visit()
    assert bench.condition("WorkersAvailable")["reason"] == "ScaledToZero"
    await send(broker, "unserved")

    async def noticed() -> bool:
        await bench.visit()
        return "Waking" in bench.condition("WorkersAvailable").values()

    await wait_until(noticed, within=WAIT, interval=timedelta(milliseconds=200))


async def test_a_missing_secret_is_named(bench: Bench) -> None:
    del bench.server.objects["/api/v1/namespaces/shop/secrets/cloudscale-redis"]
    bench.server.add_pipeline(spec={})
    await bench.visit()
    assert bench.status["phase"] == "Pending"
    assert "the Secret cloudscale-redis, which does not exist" in bench.condition("Ready")["message"]


async def test_a_missing_secret_is_looked_for_before_long_but_not_at_every_visit(bench: Bench) -> None:
    del bench.server.objects["/api/v1/namespaces/shop/secrets/cloudscale-redis"]
    bench.server.add_pipeline(spec={})
    assert await bench.visit() == MISSING_SECONDS
    await bench.visit()
    assert not [path for _, path in bench.server.requests if "/secrets/" in path]


async def test_a_secret_without_the_key_is_named(bench: Bench) -> None:
    add_secret(bench.server, "cloudscale-redis", address="redis://")
    bench.server.add_pipeline(spec={})
    await bench.visit()
    assert "the key url of the Secret cloudscale-redis" in bench.condition("Ready")["message"]


async def test_a_secret_that_is_no_text_is_named(bench: Bench) -> None:
    bench.server.objects["/api/v1/namespaces/shop/secrets/cloudscale-redis"]["data"]["url"] = "/w=="
    bench.server.add_pipeline(spec={})
    await bench.visit()
    assert "cloudscale-redis, which is not text in UTF-8" in bench.condition("Ready")["message"]


async def test_a_port_that_a_secret_names_is_let_out(bench: Bench) -> None:
    add_secret(bench.server, "cloudscale-redis", url="redis://redis:7000/0")
    bench.server.add_pipeline(spec={})
    await bench.visit()
    assert 7000 in egress_ports(bench.server)


async def test_a_secret_that_is_gone_closes_no_port_to_the_pods_that_have_read_it(bench: Bench) -> None:
    add_secret(bench.server, "cloudscale-redis", url="redis://redis:7000/0")
    bench.server.add_pipeline(spec={})
    await bench.visit()
    del bench.server.objects["/api/v1/namespaces/shop/secrets/cloudscale-redis"]
    body = bench.server.pipeline()
    assert body is not None
    body["metadata"]["generation"] = 2
    await bench.visit()
    assert bench.condition("Ready")["reason"] == "SecretMissing"
    assert 7000 in egress_ports(bench.server)


async def test_a_changed_secret_rolls_the_pods(bench: Bench) -> None:
    bench.server.add_pipeline(spec={})
    await bench.visit()
    template = "/apis/apps/v1/namespaces/shop/deployments/example-worker"
    before = bench.server.objects[template]["spec"]["template"]
    add_secret(bench.server, "cloudscale-redis", url="redis://other:6379/0")
    body = bench.server.pipeline()
    assert body is not None
    body["metadata"]["generation"] = 2
    await bench.visit()
    assert bench.server.objects[template]["spec"]["template"] != before


async def test_kedas_scaler_is_built_anew_when_the_brokers_secret_changes_and_for_no_other(bench: Bench) -> None:
    bench.server.add_pipeline(spec={})
    await bench.visit()
    path = "/apis/keda.sh/v1alpha1/namespaces/shop/scaledobjects/example-worker"
    before = bench.server.objects[path]["spec"]

    add_secret(bench.server, "cloudscale-redis", url="redis://other:6379/0")
    await visit_of_a_new_generation(bench)
    assert bench.server.objects[path]["spec"] == before

    add_secret(bench.server, "cloudscale-servicebus", connectionString="Endpoint=sb://other;SharedAccessKey=x")
    await visit_of_a_new_generation(bench)
    after = bench.server.objects[path]["spec"]
    assert after != before
    assert "SharedAccessKey" not in str(after)

    bench.server.remove("/api/v1/namespaces/shop/secrets/cloudscale-servicebus")
    await visit_of_a_new_generation(bench)
    assert bench.server.objects[path]["spec"] == after


async def test_a_secret_that_is_gone_rolls_no_pods(bench: Bench) -> None:
    bench.server.add_pipeline(spec={})
    await bench.visit()
    path = "/apis/apps/v1/namespaces/shop/deployments/example-worker"
    before = bench.server.objects[path]["spec"]["template"]
    remove_secrets(bench.server)
    await visit_of_a_new_generation(bench)
    assert bench.condition("Ready")["reason"] == "SecretMissing"
    assert bench.server.objects[path]["spec"]["template"] == before


async def test_a_missing_secret_of_the_dashboard_is_named(bench: Bench) -> None:
    bench.server.add_pipeline(spec={"dashboard": {"tokenSecretRef": {"name": "tokens", "key": "token"}}})
    await bench.visit()
    assert bench.condition("Ready")["reason"] == "SecretMissing"
    assert "the dashboard needs the Secret tokens, which does not exist" in bench.condition("Ready")["message"]


async def test_changed_tokens_of_the_dashboard_roll_no_pods(bench: Bench) -> None:
    add_secret(bench.server, "tokens", token="one http://host:7777")
    bench.server.add_pipeline(spec={"dashboard": {"tokenSecretRef": {"name": "tokens", "key": "token"}}})
    await bench.visit()
    path = "/apis/apps/v1/namespaces/shop/deployments/example-dashboard"
    before = bench.server.objects[path]["spec"]["template"]
    add_secret(bench.server, "tokens", token="two")
    await visit_of_a_new_generation(bench)
    assert bench.server.objects[path]["spec"]["template"] == before
    assert 7777 not in egress_ports(bench.server)


async def test_a_pipeline_that_wakes_up_stays_ready(bench: Bench, broker: ServiceBusServer) -> None:
    spec = {"queue": {"name": "waking"}, "processing": {"replicas": {"min": 0}, "concurrency": {"interval": "1s"}}}
    bench.server.add_pipeline(spec=spec)
    await bench.visit_with_depth()
    bench.make_available("ingestion", "dashboard")
    bench.make_available("worker", replicas=0)
    await bench.visit()
    assert bench.condition("WorkersAvailable")["reason"] == "ScaledToZero"
    await send(broker, "waking")
    path = "/apis/apps/v1/namespaces/shop/deployments/example-worker"
    deployment = bench.server.objects[path]

    # KEDA asks for a replica, which the Deployment's controller sees a moment later, and which needs time to start.
    asked = {**deployment, "spec": {**deployment["spec"], "replicas": 1}}
    asked["metadata"] = {**deployment["metadata"], "generation": deployment["metadata"]["generation"] + 1}
    bench.server.store(path, asked)
    await bench.visit()
    assert bench.condition("WorkersAvailable")["reason"] == "Waking"
    assert bench.condition("Ready")["status"] == "True"
    bench.make_available("worker", available=0)
    await bench.visit()
    assert bench.condition("WorkersAvailable")["reason"] == "Waking"
    assert bench.condition("Ready")["status"] == "True"
    bench.make_available("worker")
    await bench.visit()
    assert bench.condition("WorkersAvailable")["reason"] == "ReplicasAvailable"
    assert bench.condition("Ready")["status"] == "True"

    # One that ran and is lost is no waking.
    bench.make_available("worker", available=0)
    await bench.visit()
    assert bench.condition("Ready")["reason"] == "NoReplicaAvailable"


async def test_a_specification_that_slipped_through_admission_fails_with_its_field(bench: Bench) -> None:
    bench.server.add_pipeline(spec={"eventTypes": [{"name": "refund", "schema": {"type": "nothing"}}]})
    with pytest.raises(kopf.PermanentError):
        await bench.visit()
    assert bench.status["phase"] == "Failed"
    assert bench.condition("Ready")["message"].startswith("spec.eventTypes[0].schema: ")


async def test_a_refused_object_is_told_and_does_not_stop_the_others(bench: Bench) -> None:
    bench.server.refusals["services/example-ingestion"] = 403
    bench.server.add_pipeline(spec={})
    await bench.visit()
    assert bench.condition("Ready")["reason"] == "ApplyRefused"
    assert "example-worker" in bench.server.names("Deployment")


async def test_an_api_server_that_fails_is_asked_again(bench: Bench) -> None:
    bench.server.refusals["configmaps"] = 503
    bench.server.add_pipeline(spec={})
    with pytest.raises(kopf.TemporaryError, match="503"):
        await bench.visit()


async def test_a_change_that_the_watch_has_not_shown_yet_is_met_again(bench: Bench) -> None:
    bench.server.add_pipeline(spec={})
    bench.sync()
    bench.server.add_pipeline(spec={"paused": True})
    with pytest.raises(kopf.TemporaryError, match="has been modified"):
        await bench.reconciler.reconcile(KEY)


async def test_without_keda_the_workers_are_fixed_and_the_condition_says_why(bench: Bench) -> None:
    bench.server.groups.discard("/apis/keda.sh/v1alpha1")
    bench.server.add_pipeline(spec={"processing": {"replicas": {"min": 3}}})
    await bench.visit()
    worker = bench.server.objects["/apis/apps/v1/namespaces/shop/deployments/example-worker"]
    assert worker["spec"]["replicas"] == 3
    assert bench.condition("ScalingActive")["reason"] == "KedaMissing"


async def test_a_pipeline_that_is_gone_is_forgotten(bench: Bench) -> None:
    bench.server.add_pipeline(spec={})
    await bench.visit_with_depth()
    bench.server.objects.clear()
    assert await bench.visit() is None
    assert bench.readers.latest(KEY) is None
