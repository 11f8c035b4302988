"""One pipeline, from what is to what should be.

Every cause leads here: a changed pipeline, a changed or deleted child, a new depth, the passing of time. What happens
depends on nothing but the present state, so a crash at any point is a restart.
"""

from __future__ import annotations

import asyncio
import math
import time
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import kopf
import structlog

from cloudscale import pipeline as resource
from cloudscale.errors import BackendUnavailableError, InvalidPipelineError
from cloudscale.units import parse_duration
from cloudscale_operator import drain, metrics
from cloudscale_operator.announcements import Severity, Thresholds, announce, severity_of
from cloudscale_operator.api import CONFLICT, NOT_FOUND, ApiRefusalError, pipeline_path
from cloudscale_operator.children import ChildKey, Children, PipelineKey, changes, without_managed_fields
from cloudscale_operator.conditions import Condition, transitions
from cloudscale_operator.credentials import CredentialCache, Credentials
from cloudscale_operator.depth import DepthReaders, Source
from cloudscale_operator.desired import desired_objects
from cloudscale_operator.kinds import DEPLOYMENT, OPTIONAL_KINDS, Kind, Manifest
from cloudscale_operator.names import FINALIZER, INGESTION, WORKER, object_name
from cloudscale_operator.status import Observation, build_status, failed_status, is_unserved

if TYPE_CHECKING:
    from cloudscale.pipeline import EventPipeline
    from cloudscale_operator.api import KubernetesApi
    from cloudscale_operator.context import Context

log = structlog.get_logger(__name__)

RESYNC_SECONDS = 60.0
"""A pipeline is looked at this often even when nothing seems to happen."""
DRAIN_SECONDS = 2.0
"""The same during a deletion."""
REFUSED_SECONDS = 30.0
"""Until what the API server refused is tried again: an administrator may have mended a quota or a role."""
MISSING_SECONDS = 10.0
"""Until it is looked again for a Secret that was not there."""
KINDS_SECONDS = 60.0
"""How late it is noticed that the cluster has got KEDA, or another extension."""


@dataclass
class Memory:
    """What is worth remembering of a pipeline between two visits; losing it costs requests, nothing else."""

    uid: str
    credentials: CredentialCache = field(default_factory=CredentialCache)
    stopped: datetime | None = None
    """Since when no ingestion pod has been there during a deletion."""
    unserved_since: datetime | None = None
    """Since when the queue has not been empty while no worker runs."""
    thresholds: Thresholds = field(default_factory=Thresholds)


class Reconciler:
    """Reconciles pipelines; ``context`` holds what they have in common."""

    def __init__(self, api: KubernetesApi, readers: DepthReaders, *, context: Context, authority_secret: str) -> None:
        self.children = Children()
        self._api = api
        self._readers = readers
        self._context = context
        self._authority_secret = authority_secret
        self._pipelines: dict[PipelineKey, Manifest] = {}
        self._memories: dict[PipelineKey, Memory] = {}
        self._kinds: frozenset[Kind] = frozenset()
        self._kinds_read_at = -math.inf
        self._kinds_lock = asyncio.Lock()

    def observe(self, pipeline: Manifest, *, deleted: bool = False) -> PipelineKey:
        """Take note of a pipeline as the watch shows it."""
        key = PipelineKey(pipeline["metadata"]["namespace"], pipeline["metadata"]["name"])
        if deleted:
            self._pipelines.pop(key, None)
        else:
            self._pipelines[key] = without_managed_fields(pipeline)
        return key

    def knows(self, key: PipelineKey) -> bool:
        """Whether there is such a pipeline."""
        return key in self._pipelines

    @property
    def count(self) -> int:
        """How many pipelines there are."""
        return len(self._pipelines)

    async def reconcile(self, key: PipelineKey) -> float | None:
        """Bring one pipeline to what it should be; seconds until it wants to be looked at again, None if it is gone.

        Raises:
            kopf.TemporaryError: it could not be done now, and may be done after the error's delay.
            kopf.PermanentError: it cannot be done until the specification changes; the status says why.
        """
        body = self._pipelines.get(key)
        if body is None:
            await self._forget(key)
            return None
        memory = self._memories.get(key)
        if memory is None or memory.uid != body["metadata"]["uid"]:
            memory = self._memories[key] = Memory(body["metadata"]["uid"])
        deleting = "deletionTimestamp" in body["metadata"]
        if deleting and FINALIZER not in body["metadata"].get("finalizers", ()):
            return RESYNC_SECONDS
        try:
            pipeline = resource.load(body)
        except InvalidPipelineError as error:
            if deleting:
                await self._release(key, body)
                return RESYNC_SECONDS
            await self._fail(key, body, reason="InvalidSpec", message=str(error))
            raise kopf.PermanentError(f"{key.namespace}/{key.name} cannot be used as it is: {error}") from error
        try:
            if deleting:
                return await self._drain(key, body, pipeline, memory)
            return await self._converge(key, body, pipeline, memory)
        except BackendUnavailableError as error:
            raise kopf.TemporaryError(str(error), delay=5) from error
        except ApiRefusalError as error:
            # The watch has not told of the latest change yet, or the pipeline has just gone.
            delay = 1 if error.status in (CONFLICT, NOT_FOUND) else REFUSED_SECONDS
            raise kopf.TemporaryError(str(error), delay=delay) from error

    async def _converge(self, key: PipelineKey, body: Manifest, pipeline: EventPipeline, memory: Memory) -> float:
        if FINALIZER not in body["metadata"].get("finalizers", ()):
            body = await self._set_finalizers(body, [*body["metadata"].get("finalizers", ()), FINALIZER])
        credentials = await self._credentials(pipeline, memory)
        await self._watch_depth(key, pipeline, credentials, _interval(pipeline))
        context = await self._context_of(credentials, draining=False)
        refusals = await self._apply(key, pipeline, memory, context)
        await self._report(key, body, self._observation(key, pipeline, memory, credentials, context, refusals), memory)
        if credentials.missing:
            return MISSING_SECONDS
        return REFUSED_SECONDS if refusals else RESYNC_SECONDS

    async def _drain(self, key: PipelineKey, body: Manifest, pipeline: EventPipeline, memory: Memory) -> float:
        now = datetime.now(UTC)
        credentials = await self._credentials(pipeline, memory)
        reason = await self._hopeless(key, credentials)
        if reason:
            await announce(self._api, body, severity="Warning", reason="NotDrained", message=reason)
            await self._release(key, body)
            return RESYNC_SECONDS
        context = await self._context_of(credentials, draining=True)
        refusals: list[str] = []
        if pipeline.spec.deletion == "Drain":
            await self._watch_depth(key, pipeline, credentials, timedelta(seconds=DRAIN_SECONDS))
            refusals = await self._apply(key, pipeline, memory, context)
            if self._intake_is_off(key) and memory.stopped is None:
                memory.stopped = now
        started = datetime.fromisoformat(body["metadata"]["deletionTimestamp"])
        judgement = drain.judge(pipeline, self._readers.latest(key), started=started, stopped=memory.stopped, now=now)
        observation = self._observation(key, pipeline, memory, credentials, context, refusals)
        ready = Condition("Ready", "False", judgement.reason, judgement.message)
        await self._report(key, body, replace(observation, draining=ready), memory)
        if judgement.done:
            severity: Severity = "Warning" if judgement.forced else "Normal"
            await announce(self._api, body, severity=severity, reason=judgement.reason, message=judgement.message)
            await self._release(key, body)
        return DRAIN_SECONDS

    async def _hopeless(self, key: PipelineKey, credentials: Credentials) -> str:
        """Why the queue cannot be emptied at all, empty if it may be."""
        if credentials.queue_missing:
            return f"the queue was not emptied: {credentials.queue_missing}"
        namespace = await self._api.read(f"/api/v1/namespaces/{key.namespace}")
        if namespace is None or namespace.get("status", {}).get("phase") == "Terminating":
            return "the queue was not emptied: the namespace is being deleted"
        return ""

    def _intake_is_off(self, key: PipelineKey) -> bool:
        deployment = self.children.of(key).get(ChildKey(DEPLOYMENT.kind, object_name(key.name, INGESTION)))
        if deployment is None:
            return True
        status, metadata = deployment.get("status", {}), deployment["metadata"]
        seen = status.get("observedGeneration", 0) >= metadata.get("generation", 0)
        # Terminating pods are no longer replicas, and still may hold requests.
        left = status.get("replicas", 0) + status.get("terminatingReplicas", 0)
        return bool(seen and deployment["spec"].get("replicas") == 0 and left == 0)

    async def _apply(self, key: PipelineKey, pipeline: EventPipeline, memory: Memory, context: Context) -> list[str]:
        """Delete and apply what differs; what the API server said to each manifest that it refused."""
        desired = desired_objects(pipeline, context)
        todo = changes(desired, self.children.of(key), owner=memory.uid)
        for child in todo.delete:
            await self._api.delete(child)
        refusals = []
        for manifest in todo.apply:
            try:
                self.children.observe(await self._api.apply(manifest))
            except ApiRefusalError as error:
                refusals.append(str(error))
        return refusals

    async def _report(self, key: PipelineKey, body: Manifest, observation: Observation, memory: Memory) -> None:
        previous = body.get("status", {})
        status = build_status(observation, previous, now=datetime.now(UTC))
        await self._write_status(key, body, status)
        for condition in transitions(previous.get("conditions", ()), status["conditions"]):
            message = f"{condition['type']} is {condition['status']}: {condition['message']}"
            severity = severity_of(condition)
            await announce(self._api, body, severity=severity, reason=condition["reason"], message=message)
        reading = observation.reading
        if reading and reading.depth:
            concurrency = observation.pipeline.spec.processing.concurrency
            for severity, message in memory.thresholds.crossed(concurrency, reading.depth.active):
                await announce(self._api, body, severity=severity, reason="QueueDepth", message=message)

    async def _fail(self, key: PipelineKey, body: Manifest, *, reason: str, message: str) -> None:
        previous = body.get("status", {})
        generation = body["metadata"]["generation"]
        status = failed_status(previous, generation=generation, reason=reason, message=message, now=datetime.now(UTC))
        if status != previous:
            await self._write_status(key, body, status)
            await announce(self._api, body, severity="Warning", reason=reason, message=message)

    async def _write_status(self, key: PipelineKey, body: Manifest, status: dict[str, Any]) -> None:
        ready = any(each["type"] == "Ready" and each["status"] == "True" for each in status["conditions"])
        metrics.READY.labels(*key).set(ready)
        if status == body.get("status"):
            return
        manifest = {
            "apiVersion": body["apiVersion"],
            "kind": body["kind"],
            "metadata": {"namespace": key.namespace, "name": key.name},
            "status": status,
        }
        self._renew(await self._api.apply(manifest, subresource="/status"))

    async def _set_finalizers(self, body: Manifest, finalizers: list[str]) -> Manifest:
        metadata = body["metadata"]
        change = {"metadata": {"resourceVersion": metadata["resourceVersion"], "finalizers": finalizers}}
        updated = await self._api.merge(pipeline_path(metadata["namespace"], metadata["name"]), change)
        self._renew(updated)
        return updated

    def _renew(self, updated: Manifest) -> None:
        """Take note of an answer, unless the watch has told in the meantime that the pipeline is gone."""
        if PipelineKey(updated["metadata"]["namespace"], updated["metadata"]["name"]) in self._pipelines:
            self.observe(updated)

    async def _release(self, key: PipelineKey, body: Manifest) -> None:
        """Let the pipeline go; its children follow it as the garbage collector finds them."""
        body = self._pipelines.get(key, body)
        left = [finalizer for finalizer in body["metadata"]["finalizers"] if finalizer != FINALIZER]
        await self._set_finalizers(body, left)

    async def _credentials(self, pipeline: EventPipeline, memory: Memory) -> Credentials:
        return await memory.credentials.read(self._api, pipeline, authority_secret=self._authority_secret)

    async def _watch_depth(
        self, key: PipelineKey, pipeline: EventPipeline, credentials: Credentials, interval: timedelta
    ) -> None:
        if not credentials.queue_missing:
            source = Source(pipeline.spec.queue, credentials.connection_string, credentials.authority, interval)
            await self._readers.ensure(key, source)

    async def _context_of(self, credentials: Credentials, *, draining: bool) -> Context:
        # Nobody may go on with what was known before: an empty answer would take the autoscalers away.
        async with self._kinds_lock:
            if time.monotonic() - self._kinds_read_at > KINDS_SECONDS:
                self._kinds = await self._api.existing_kinds(OPTIONAL_KINDS)
                self._kinds_read_at = time.monotonic()
        return replace(
            self._context,
            authority_secret=self._authority_secret if credentials.authority else "",
            credentials_hash=credentials.digest,
            backend_ports=credentials.ports,
            available=self._kinds,
            draining=draining,
        )

    def _observation(
        self,
        key: PipelineKey,
        pipeline: EventPipeline,
        memory: Memory,
        credentials: Credentials,
        context: Context,
        refusals: list[str],
    ) -> Observation:
        live, reading = self.children.of(key), self._readers.latest(key)
        if not is_unserved(live.get(ChildKey(DEPLOYMENT.kind, object_name(key.name, WORKER))), reading):
            memory.unserved_since = None
        elif memory.unserved_since is None:
            memory.unserved_since = datetime.now(UTC)
        return Observation(
            pipeline=pipeline,
            live=live,
            available=context.available,
            reading=reading,
            unserved_since=memory.unserved_since,
            missing=credentials.missing,
            refusals=tuple(refusals),
        )

    async def _forget(self, key: PipelineKey) -> None:
        self._memories.pop(key, None)
        self.children.forget(key)
        await self._readers.forget(key)


def _interval(pipeline: EventPipeline) -> timedelta:
    return parse_duration(pipeline.spec.processing.concurrency.interval)
