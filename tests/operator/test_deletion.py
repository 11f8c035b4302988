"""Deleting a pipeline: the intake ends, the queue is emptied, then everything goes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from tests.operator.bench import KEY, WAIT, Bench, deleted, send, terminating_pod
from tests.waiting import wait_until

from cloudscale.queue.administration import QueueAdministration, QueueDepth

if TYPE_CHECKING:
    from tests.servers.servicebus import ServiceBusServer


async def test_a_drain_stops_the_intake_first(bench: Bench) -> None:
    bench.server.add_pipeline(spec={})
    await bench.visit_with_depth()
    bench.make_available("ingestion", "worker")
    deleted(bench.server, {})
    await bench.visit()
    ingestion = bench.server.objects["/apis/apps/v1/namespaces/shop/deployments/example-ingestion"]
    assert ingestion["spec"]["replicas"] == 0
    assert bench.status["phase"] == "Draining"
    assert bench.condition("Ready")["reason"] == "StoppingIntake"


async def test_a_drained_pipeline_is_let_go(bench: Bench) -> None:
    bench.server.add_pipeline(spec={})
    await bench.visit_with_depth()
    deleted(bench.server, {})
    await bench.visit()
    bench.make_available("ingestion", replicas=0)

    async def gone() -> bool:
        await bench.visit()
        return bench.server.pipeline() is None

    await wait_until(gone, within=WAIT, interval=timedelta(milliseconds=200))
    assert "Drained" in bench.events()
    left = {item["kind"] for item in bench.server.objects.values() if item.get("metadata", {}).get("ownerReferences")}
    assert not left
    assert bench.server.names("Deployment") == []


async def test_the_garbage_collector_finds_nothing_while_the_queue_is_emptied(bench: Bench) -> None:
    bench.server.add_pipeline(spec={})
    await bench.visit_with_depth()
    bench.make_available("ingestion", "worker")
    deleted(bench.server, {})
    await bench.visit()
    assert bench.server.names("Deployment")
    assert not [item for item in bench.server.objects.values() if item["metadata"].get("ownerReferences")]


async def test_a_drain_waits_for_pods_on_their_way_out(bench: Bench) -> None:
    bench.server.add_pipeline(spec={})
    await bench.visit_with_depth()
    deleted(bench.server, {})
    await bench.visit()
    bench.make_available("ingestion", replicas=0)
    pod = "/api/v1/namespaces/shop/pods/example-ingestion-1"
    bench.server.store(pod, terminating_pod())
    for _ in range(3):
        await bench.visit()
        assert bench.condition("Ready")["reason"] == "StoppingIntake"
    bench.server.remove(pod)
    await bench.visit()
    if bench.server.pipeline() is not None:
        assert bench.condition("Ready")["reason"] == "Draining"


async def test_a_reading_holds_for_the_moment_before_the_broker_was_asked(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[datetime] = []
    read = QueueAdministration.depth

    async def depth(administration: QueueAdministration) -> QueueDepth:
        asked.append(datetime.now(UTC))
        return await read(administration)

    monkeypatch.setattr(QueueAdministration, "depth", depth)
    bench.server.add_pipeline(spec={})
    await bench.visit_with_depth()
    reading = bench.readers.latest(KEY)
    assert reading is not None
    assert reading.at <= asked[0]


async def test_a_queue_that_does_not_empty_ends_the_drain_at_its_deadline(
    bench: Bench, broker: ServiceBusServer
) -> None:
    bench.server.add_pipeline(spec={"queue": {"name": "full"}})
    await bench.visit_with_depth()
    await send(broker, "full")
    deleted(bench.server, {"queue": {"name": "full"}, "drainDeadline": "3s"})
    await bench.visit()
    bench.make_available("ingestion", replicas=0)
    reasons = set()

    async def gone() -> bool:
        await bench.visit()
        if bench.server.pipeline() is not None:
            reasons.add(bench.condition("Ready")["reason"])
        return bench.server.pipeline() is None

    await wait_until(gone, within=WAIT, interval=timedelta(milliseconds=200))
    assert "Draining" in reasons
    assert "DrainDeadlineExceeded" in bench.events()


async def test_an_immediate_deletion_waits_for_nothing(bench: Bench) -> None:
    bench.server.add_pipeline(spec={})
    await bench.visit()
    deleted(bench.server, {"deletion": "Immediate"})
    await bench.visit()
    assert bench.server.pipeline() is None


async def test_a_drain_goes_on_without_a_secret_that_is_not_the_queues(bench: Bench) -> None:
    bench.server.add_pipeline(spec={})
    await bench.visit_with_depth()
    del bench.server.objects["/api/v1/namespaces/shop/secrets/cloudscale-redis"]
    body = bench.server.pipeline()
    assert body is not None
    body["metadata"]["generation"] = 2
    deleted(bench.server, {})
    await bench.visit()
    assert bench.status["phase"] == "Draining"
    assert bench.condition("BackendsReachable")["reason"] == "SecretMissing"
    assert "NotDrained" not in bench.events()


@pytest.mark.parametrize("cause", ["secret", "namespace", "specification"])
async def test_a_deletion_that_could_never_drain_does_not_hang(bench: Bench, cause: str) -> None:
    bench.server.add_pipeline(spec={})
    await bench.visit()
    spec: dict[str, Any] = {}
    if cause == "secret":
        spec = {"queue": {"connectionSecretRef": {"name": "gone", "key": "gone"}}}
        body = bench.server.pipeline()
        assert body is not None
        body["metadata"]["generation"] = 2
    elif cause == "namespace":
        bench.server.objects["/api/v1/namespaces/shop"]["status"]["phase"] = "Terminating"
    else:
        spec = {"processing": {"prefetch": -1}}
    deleted(bench.server, spec)
    await bench.visit()
    assert bench.server.pipeline() is None
