"""Two pipelines on one queue: the older one has it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.operator.examples import pipeline
from tests.operator.harness import Harness, add_secret

from cloudscale_operator.children import PipelineKey
from cloudscale_operator.claims import broker_host, claim_of
from cloudscale_operator.errors import ImpossibleError, PostponedError
from cloudscale_operator.names import FINALIZER

if TYPE_CHECKING:
    from tests.operator.api_server import ApiServer

FIRST = PipelineKey("shop", "first")
SECOND = PipelineKey("shop", "second")


def add(server: ApiServer, key: PipelineKey, *, second: int, queue: str = "clicks") -> None:
    metadata = {"creationTimestamp": f"2026-01-01T00:00:{second:02}Z"}
    server.add_pipeline(key.name, namespace=key.namespace, metadata=metadata, spec={"queue": {"name": queue}})


def reason(harness: Harness, key: PipelineKey) -> str:
    found: str = harness.condition("Ready", key.name, namespace=key.namespace)["reason"]
    return found


async def test_the_later_pipeline_of_a_queue_is_refused_and_gets_nothing(harness: Harness) -> None:
    add(harness.server, FIRST, second=1)
    add(harness.server, SECOND, second=2)
    await harness.visit(FIRST)
    await harness.visit(SECOND)
    assert reason(harness, FIRST) != "QueueShared"
    condition = harness.condition("Ready", "second")
    assert (condition["status"], condition["reason"]) == ("False", "QueueShared")
    assert "the queue clicks belongs to shop/first, which is older" in condition["message"]
    assert not [name for name in harness.server.names("Deployment") if name.startswith("second-")]
    assert harness.readers.latest(SECOND) is None
    body = harness.server.pipeline("second")
    assert body is not None
    assert FINALIZER not in body["metadata"].get("finalizers", ())


async def test_the_later_pipeline_waits_until_it_is_known_whose_the_queue_is(harness: Harness) -> None:
    add(harness.server, FIRST, second=1)
    add(harness.server, SECOND, second=2)
    with pytest.raises(PostponedError):
        await harness.visit(SECOND)
    await harness.visit(FIRST)
    await harness.visit(SECOND)
    assert reason(harness, SECOND) == "QueueShared"


async def test_a_pipeline_waits_for_none_that_names_another_queue(harness: Harness) -> None:
    add(harness.server, FIRST, second=1, queue="another")
    add(harness.server, SECOND, second=2)
    await harness.visit(SECOND)
    assert "second-worker" in harness.server.names("Deployment")


async def test_of_two_that_were_made_in_one_second_the_first_by_name_has_the_queue(harness: Harness) -> None:
    add(harness.server, FIRST, second=1)
    add(harness.server, SECOND, second=1)
    await harness.visit(FIRST)
    await harness.visit(SECOND)
    assert reason(harness, SECOND) == "QueueShared"


async def test_a_queue_is_the_same_in_another_namespace_with_another_secret(
    harness: Harness, server: ApiServer
) -> None:
    other = PipelineKey("billing", "second")
    stored = server.objects["/api/v1/namespaces/shop/secrets/cloudscale-servicebus"]
    server.store("/api/v1/namespaces/billing/secrets/cloudscale-servicebus", stored)
    for name in ("cloudscale-cosmos", "cloudscale-redis"):
        add_secret(server, name, namespace="billing", connectionString="x", url="redis://redis")
    add(server, FIRST, second=1)
    add(server, other, second=2, queue="Clicks")
    await harness.visit(FIRST)
    await harness.visit(other)
    assert reason(harness, other) == "QueueShared"


async def test_a_queue_is_free_when_its_pipeline_is_gone(harness: Harness) -> None:
    add(harness.server, FIRST, second=1)
    add(harness.server, SECOND, second=2)
    await harness.visit(FIRST)
    await harness.visit(SECOND)
    path = next(path for path in harness.server.objects if path.endswith("/eventpipelines/first"))
    harness.server.remove(path)
    await harness.visit(FIRST)
    await harness.visit(SECOND)
    assert "second-worker" in harness.server.names("Deployment")
    assert reason(harness, SECOND) != "QueueShared"


async def test_the_deletion_of_a_refused_pipeline_leaves_the_queue_to_its_owner(harness: Harness) -> None:
    add(harness.server, FIRST, second=1)
    add(harness.server, SECOND, second=2)
    await harness.visit(FIRST)
    body = harness.server.pipeline("second")
    assert body is not None
    body["metadata"] |= {"finalizers": [FINALIZER], "deletionTimestamp": "2026-01-01T00:01:00Z"}
    await harness.visit(SECOND)
    assert harness.server.pipeline("second") is None
    assert not [name for name in harness.server.names("Deployment") if name.startswith("second-")]
    assert "NotDrained" in harness.events()


async def test_an_older_pipeline_whose_specification_is_wrong_holds_up_nobody(harness: Harness) -> None:
    metadata = {"creationTimestamp": "2026-01-01T00:00:01Z"}
    harness.server.add_pipeline("first", metadata=metadata, spec={"processing": {"prefetch": -1}})
    add(harness.server, SECOND, second=2)
    with pytest.raises(ImpossibleError):
        await harness.visit(FIRST)
    await harness.visit(SECOND)
    assert "second-worker" in harness.server.names("Deployment")


async def test_an_older_pipeline_whose_secret_cannot_be_read_holds_up_nobody(harness: Harness) -> None:
    add(harness.server, FIRST, second=1, queue="another")
    add(harness.server, SECOND, second=2)
    harness.server.refusals["/secrets/"] = 403
    with pytest.raises(PostponedError):
        await harness.visit(FIRST)
    harness.server.refusals.clear()
    await harness.visit(SECOND)
    assert "second-worker" in harness.server.names("Deployment")


def test_pipelines_with_one_secret_share_its_queues_whatever_it_holds() -> None:
    bodies = [{"metadata": {"namespace": "shop", "name": name}} for name in ("a", "b")]
    first, second = (claim_of(body, pipeline(), connection_string="") for body in bodies)
    assert first.places & second.places


@pytest.mark.parametrize(
    ("address", "host"),
    [
        ("Endpoint=sb://broker;SharedAccessKeyName=x", "broker.shop.svc"),
        ("Endpoint=sb://BROKER.shop;SharedAccessKeyName=x", "broker.shop.svc"),
        ("Endpoint=sb://broker.shop.svc.cluster.local.:5671/;", "broker.shop.svc"),
        ("SharedAccessKey=a=;endpoint=sb://n.servicebus.windows.net/", "n.servicebus.windows.net"),
        ("Endpoint=sb://127.0.0.1:6000;", "127.0.0.1:6000"),
        ("N.servicebus.windows.net", "n.servicebus.windows.net"),
        ("Endpoint=sb://[broken;", ""),
        ("", ""),
        (None, ""),
    ],
)
def test_a_broker_has_one_name(address: str | None, host: str) -> None:
    assert broker_host(address, namespace="shop") == host
