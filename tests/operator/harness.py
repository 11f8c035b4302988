"""A reconciler on an API server in memory and on the real broker emulator, and what its tests do with it."""

from __future__ import annotations

import base64
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from azure.servicebus import ServiceBusMessage
from azure.servicebus.aio import ServiceBusClient
from tests.operator.api_server import now
from tests.waiting import wait_until

from cloudscale_operator.children import PipelineKey
from cloudscale_operator.context import Context
from cloudscale_operator.names import selector_labels
from cloudscale_operator.pipelines import pipeline_key
from cloudscale_operator.reconcile import Reconciler
from cloudscale_operator.timing import DEFAULT_TIMING

if TYPE_CHECKING:
    from tests.operator.api_server import ApiServer
    from tests.servers.servicebus import ServiceBusServer

    from cloudscale_operator.api import KubernetesApi
    from cloudscale_operator.depth import DepthReaders
    from cloudscale_operator.timing import Timing

KEY = PipelineKey("shop", "example")
WAIT = timedelta(seconds=20)


def add_secret(server: ApiServer, name: str, *, namespace: str = "shop", **values: str) -> None:
    data = {key: base64.b64encode(value.encode()).decode() for key, value in values.items()}
    server.store(f"/api/v1/namespaces/{namespace}/secrets/{name}", {"kind": "Secret", "data": data})


def remove_secrets(server: ApiServer) -> None:
    """What ``kubectl delete -f`` does with a folder that holds the Secrets too."""
    for path in [path for path in server.objects if "/secrets/" in path]:
        server.remove(path)


async def send(broker: ServiceBusServer, queue: str) -> None:
    """Put one message into a queue."""
    async with client_of(broker) as client, client.get_queue_sender(queue) as sender:
        await sender.send_messages(ServiceBusMessage(b"[]"))


async def receive(broker: ServiceBusServer, queue: str) -> None:
    """Take one message out of a queue."""
    async with client_of(broker) as client, client.get_queue_receiver(queue) as receiver:
        (message,) = await receiver.receive_messages(1, max_wait_time=WAIT.total_seconds())
        await receiver.complete_message(message)


def client_of(broker: ServiceBusServer) -> ServiceBusClient:
    return ServiceBusClient.from_connection_string(
        f"Endpoint=sb://127.0.0.1:{broker.port};SharedAccessKeyName=RootManageSharedAccessKey;"
        f"SharedAccessKey={broker.key};UseDevelopmentEmulator=true"
    )


def egress_ports(server: ApiServer) -> set[int]:
    """The ports that the pods of the pipeline may connect to."""
    policy = server.objects["/apis/networking.k8s.io/v1/namespaces/shop/networkpolicies/example-backends"]
    return {port["port"] for rule in policy["spec"]["egress"] for port in rule["ports"]}


class Harness:
    """A reconciler and the API server that it works on; ``sync`` does what the watches do."""

    def __init__(
        self, server: ApiServer, api: KubernetesApi, readers: DepthReaders, *, timing: Timing = DEFAULT_TIMING
    ) -> None:
        self.server = server
        self.readers = readers
        context = Context(image="cloudscale:test")
        self.reconciler = Reconciler(
            api, readers, context=context, authority_secret="cloudscale-backends-ca", timing=timing
        )

    async def visit(self, key: PipelineKey = KEY) -> float | None:
        self.sync()
        self.server.requests.clear()
        return await self.reconciler.reconcile(key)

    def sync(self) -> None:
        found = [item for item in self.server.objects.values() if item.get("kind") == "EventPipeline"]
        for body in found:
            self.reconciler.pipelines.observe(body)
        for body in list(self.reconciler.pipelines.all().values()):
            if pipeline_key(body) not in {pipeline_key(each) for each in found}:
                self.reconciler.pipelines.observe(body, deleted=True)
        seen = {
            (item["kind"], item["metadata"]["name"])
            for item in self.server.objects.values()
            if "name" in item["metadata"]
        }
        for child in list(self.reconciler.children.of(KEY).values()):
            if (child["kind"], child["metadata"]["name"]) not in seen:
                self.reconciler.children.observe(child, deleted=True)
        for item in list(self.server.objects.values()):
            if "namespace" in item["metadata"] and item["kind"] != "EventPipeline":
                self.reconciler.children.observe(item)

    async def visit_with_depth(self) -> dict[str, Any]:
        await self.visit()
        await wait_until(self._has_depth, within=WAIT)
        await self.visit()
        return self.status

    async def _has_depth(self) -> bool:
        reading = self.readers.latest(KEY)
        return reading is not None and reading.backlog is not None

    @property
    def status(self) -> dict[str, Any]:
        body = self.server.pipeline()
        assert body is not None
        status: dict[str, Any] = body["status"]
        return status

    def condition(self, kind: str, name: str = "example", *, namespace: str = "shop") -> dict[str, Any]:
        body = self.server.pipeline(name, namespace=namespace)
        assert body is not None
        found: dict[str, Any] = {condition["type"]: condition for condition in body["status"]["conditions"]}[kind]
        return found

    def events(self) -> list[str]:
        return [item["reason"] for item in self.server.objects.values() if item.get("kind") == "Event"]

    def make_available(self, *roles: str, replicas: int = 1, available: int | None = None) -> None:
        """Be the Deployment controller, whose pods are all available unless less is said."""
        for path, item in list(self.server.objects.items()):
            if item.get("kind") == "Deployment" and item["metadata"]["name"].removeprefix("example-") in roles:
                ready = replicas if available is None else available
                counts = dict.fromkeys(("replicas", "updatedReplicas"), replicas)
                counts |= dict.fromkeys(("availableReplicas", "readyReplicas"), ready)
                specification = {**item["spec"], "replicas": replicas}
                status = {"observedGeneration": item["metadata"]["generation"], **counts}
                self.server.store(path, {**item, "spec": specification, "status": status})


def owners_of_replicas(server: ApiServer, path: str) -> set[str]:
    """The field managers that have applied a number of replicas."""
    managed = server.objects[path]["metadata"]["managedFields"]
    return {entry["manager"] for entry in managed if "f:replicas" in entry["fieldsV1"].get("f:spec", {})}


async def make_ready(harness: Harness) -> None:
    harness.server.add_pipeline(spec={})
    await harness.visit_with_depth()
    harness.make_available("ingestion", "worker", "dashboard")
    await harness.visit()
    assert harness.condition("Ready")["status"] == "True"


async def visit_of_a_new_generation(harness: Harness) -> None:
    """A visit for which what was read of the Secrets is too old."""
    body = harness.server.pipeline()
    assert body is not None
    body["metadata"]["generation"] += 1
    await harness.visit()


def terminating_pod() -> dict[str, Any]:
    """An ingestion pod in its last seconds, in which it still takes events."""
    labels = selector_labels("example", "ingestion")
    metadata = {"name": "example-ingestion-1", "namespace": "shop", "labels": labels, "deletionTimestamp": now()}
    return {"kind": "Pod", "metadata": metadata, "status": {"phase": "Running"}}


def deleted(server: ApiServer, spec: dict[str, Any]) -> None:
    body = server.pipeline()
    assert body is not None
    body["spec"] = spec
    body["metadata"]["deletionTimestamp"] = now()
