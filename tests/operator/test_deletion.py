"""Deleting a pipeline: the intake ends, the queue is emptied, then everything goes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from tests.operator.harness import (
    KEY,
    WAIT,
    Harness,
    add_secret,
    deleted,
    egress_ports,
    receive,
    remove_secrets,
    send,
    terminating_pod,
)
from tests.waiting import wait_until

from cloudscale.queue.administration import QueueAdministration, QueueDepth
from cloudscale_operator.api import KubernetesApi

if TYPE_CHECKING:
    from tests.operator.api_server import ApiServer
    from tests.servers.servicebus import ServiceBusServer


async def test_a_drain_stops_the_intake_first(harness: Harness) -> None:
    harness.server.add_pipeline(spec={})
    await harness.visit_with_depth()
    harness.make_available("ingestion", "worker")
    deleted(harness.server, {})
    await harness.visit()
    ingestion = harness.server.objects["/apis/apps/v1/namespaces/shop/deployments/example-ingestion"]
    assert ingestion["spec"]["replicas"] == 0
    assert harness.status["phase"] == "Draining"
    assert harness.condition("Ready")["reason"] == "StoppingIntake"


async def test_a_drained_pipeline_is_let_go(harness: Harness) -> None:
    harness.server.add_pipeline(spec={})
    await harness.visit_with_depth()
    deleted(harness.server, {})
    await harness.visit()
    harness.make_available("ingestion", replicas=0)

    async def gone() -> bool:
        await harness.visit()
        return harness.server.pipeline() is None

    await wait_until(gone, within=WAIT, interval=timedelta(milliseconds=200))
    assert "Drained" in harness.events()
    left = {item["kind"] for item in harness.server.objects.values() if item.get("metadata", {}).get("ownerReferences")}
    # The first key and the dashboard's token, which the garbage collector takes away after the pipeline.
    assert left <= {"Secret"}
    assert harness.server.names("Deployment") == []


async def test_the_garbage_collector_finds_nothing_while_the_queue_is_emptied(harness: Harness) -> None:
    harness.server.add_pipeline(spec={})
    await harness.visit_with_depth()
    harness.make_available("ingestion", "worker")
    deleted(harness.server, {})
    await harness.visit()
    assert harness.server.names("Deployment")
    owned = [item for item in harness.server.objects.values() if item["metadata"].get("ownerReferences")]
    # The first key and the dashboard's token, which nobody needs to empty the queue.
    assert {item["kind"] for item in owned} <= {"Secret"}


async def test_a_drain_waits_for_pods_on_their_way_out(harness: Harness) -> None:
    harness.server.add_pipeline(spec={})
    await harness.visit_with_depth()
    deleted(harness.server, {})
    await harness.visit()
    harness.make_available("ingestion", replicas=0)
    pod = "/api/v1/namespaces/shop/pods/example-ingestion-1"
    harness.server.store(pod, terminating_pod())
    for _ in range(3):
        await harness.visit()
        assert harness.condition("Ready")["reason"] == "StoppingIntake"
    harness.server.remove(pod)
    await harness.visit()
    if harness.server.pipeline() is not None:
        assert harness.condition("Ready")["reason"] == "Draining"


async def test_a_reading_holds_for_the_moment_before_the_broker_was_asked(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[datetime] = []
    read = QueueAdministration.depth

    async def depth(administration: QueueAdministration) -> QueueDepth:
        asked.append(datetime.now(UTC))
        return await read(administration)

    monkeypatch.setattr(QueueAdministration, "depth", depth)
    harness.server.add_pipeline(spec={})
    await harness.visit_with_depth()
    reading = harness.readers.latest(KEY)
    assert reading is not None
    assert reading.at <= asked[0]


async def test_a_queue_that_does_not_empty_ends_the_drain_at_its_deadline(
    harness: Harness, broker: ServiceBusServer
) -> None:
    harness.server.add_pipeline(spec={"queue": {"name": "full"}})
    await harness.visit_with_depth()
    await send(broker, "full")
    deleted(harness.server, {"queue": {"name": "full"}, "drainDeadline": "8s"})
    await harness.visit()
    harness.make_available("ingestion", replicas=0)
    reasons = set()

    async def gone() -> bool:
        await harness.visit()
        if harness.server.pipeline() is not None:
            reasons.add(harness.condition("Ready")["reason"])
        return harness.server.pipeline() is None

    await wait_until(gone, within=WAIT, interval=timedelta(milliseconds=200))
    assert "Draining" in reasons
    assert "DrainDeadlineExceeded" in harness.events()


async def test_an_immediate_deletion_waits_for_nothing(harness: Harness) -> None:
    harness.server.add_pipeline(spec={})
    await harness.visit()
    deleted(harness.server, {"deletion": "Immediate"})
    await harness.visit()
    assert harness.server.pipeline() is None


async def test_a_drain_goes_on_without_a_secret_that_is_not_the_queues(harness: Harness) -> None:
    harness.server.add_pipeline(spec={})
    await harness.visit_with_depth()
    del harness.server.objects["/api/v1/namespaces/shop/secrets/cloudscale-redis"]
    body = harness.server.pipeline()
    assert body is not None
    body["metadata"]["generation"] = 2
    deleted(harness.server, {})
    await harness.visit()
    assert harness.status["phase"] == "Draining"
    assert harness.condition("BackendsReachable")["reason"] == "SecretMissing"
    assert "NotDrained" not in harness.events()


def forget_what_was_read(harness: Harness) -> None:
    """As if so much time had passed that the Secrets are read again."""
    body = harness.server.pipeline()
    assert body is not None
    body["metadata"]["generation"] += 1


async def test_a_queue_whose_secret_is_deleted_together_with_the_pipeline_is_emptied_with_what_is_remembered(
    harness: Harness, broker: ServiceBusServer
) -> None:
    spec = {"queue": {"name": "remembered"}}
    harness.server.add_pipeline(spec=spec)
    await harness.visit_with_depth()
    harness.make_available("ingestion", "worker")
    await harness.visit()
    worker = "/apis/apps/v1/namespaces/shop/deployments/example-worker"
    template = harness.server.objects[worker]["spec"]["template"]
    await send(broker, "remembered")
    remove_secrets(harness.server)
    forget_what_was_read(harness)
    deleted(harness.server, spec)
    await harness.visit()
    harness.make_available("ingestion", replicas=0)

    async def told() -> bool:
        await harness.visit()
        return "1 events left in the queue" in harness.condition("Ready")["message"]

    await wait_until(told, within=WAIT, interval=timedelta(milliseconds=200))
    assert harness.condition("Ready")["reason"] == "Draining"
    assert harness.condition("BackendsReachable")["reason"] == "SecretMissing"
    # Pods that would replace these could not start without the Secret.
    assert harness.server.objects[worker]["spec"]["template"] == template
    await receive(broker, "remembered")

    async def gone() -> bool:
        await harness.visit()
        return harness.server.pipeline() is None

    await wait_until(gone, within=WAIT, interval=timedelta(milliseconds=200))
    assert "Drained" in harness.events()
    assert "NotDrained" not in harness.events()


async def test_a_new_operator_without_the_secret_lets_the_workers_go_on_until_the_deadline(
    harness: Harness, server: ApiServer
) -> None:
    spec = {"drainDeadline": "3s"}
    server.add_pipeline(spec=spec)
    add_secret(server, "cloudscale-redis", url="redis://redis:7000/0")
    await harness.visit_with_depth()
    harness.make_available("ingestion", "worker")
    await harness.visit()
    worker = "/apis/apps/v1/namespaces/shop/deployments/example-worker"
    template = server.objects[worker]["spec"]["template"]
    remove_secrets(server)
    deleted(server, spec)
    async with KubernetesApi(server.client()) as api:
        successor = Harness(server, api, harness.readers)
        await successor.visit()
        assert successor.status["phase"] == "Draining"
        assert server.objects[worker]["spec"]["template"] == template
        assert 7000 in egress_ports(server)
        assert harness.readers.latest(KEY) is None

        async def gone() -> bool:
            await successor.visit()
            return server.pipeline() is None

        await wait_until(gone, within=WAIT, interval=timedelta(milliseconds=200))
    assert "DrainDeadlineExceeded" in harness.events()


@pytest.mark.parametrize("cause", ["secret", "namespace", "specification"])
async def test_a_deletion_that_could_never_drain_does_not_hang(harness: Harness, cause: str) -> None:
    harness.server.add_pipeline(spec={})
    await harness.visit()
    spec: dict[str, Any] = {}
    if cause == "secret":
        spec = {"queue": {"connectionSecretRef": {"name": "gone", "key": "gone"}}}
        body = harness.server.pipeline()
        assert body is not None
        body["metadata"]["generation"] = 2
    elif cause == "namespace":
        harness.server.objects["/api/v1/namespaces/shop"]["status"]["phase"] = "Terminating"
    else:
        spec = {"processing": {"prefetch": -1}}
    deleted(harness.server, spec)
    await harness.visit()
    assert harness.server.pipeline() is None
