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
from typing import TYPE_CHECKING

import kopf

from cloudscale import pipeline as resource
from cloudscale.errors import BackendUnavailableError, InvalidPipelineError
from cloudscale.units import parse_duration
from cloudscale_operator import drain
from cloudscale_operator.announcements import Severity, Thresholds
from cloudscale_operator.api import CONFLICT, NOT_FOUND, ApiRefusalError, pipeline_path
from cloudscale_operator.applying import Refusal, apply_all
from cloudscale_operator.children import ChildKey, Children, PipelineKey, is_annotated
from cloudscale_operator.conditions import Condition
from cloudscale_operator.credentials import CredentialCache, Credentials
from cloudscale_operator.depth import DepthReaders, Source
from cloudscale_operator.desired import desired_objects
from cloudscale_operator.kinds import DEPLOYMENT, OPTIONAL_KINDS, POD, Kind, Manifest
from cloudscale_operator.names import FINALIZER, INGESTION, WORKER, object_name, selector_labels
from cloudscale_operator.pipelines import Pipelines
from cloudscale_operator.reporting import Reporter
from cloudscale_operator.status import Observation, is_unserved

if TYPE_CHECKING:
    from cloudscale.pipeline import EventPipeline
    from cloudscale_operator.api import KubernetesApi
    from cloudscale_operator.context import Context

RESYNC_SECONDS = 60.0
"""A pipeline is looked at this often even when nothing seems to happen."""
DRAIN_SECONDS = 2.0
"""The same during a deletion."""
REFUSED_SECONDS = 30.0
"""Until what the API server refused is tried again: an administrator may have mended a quota or a role."""
MISSING_SECONDS = 10.0
"""Until it is looked again for a Secret that was not there."""
UNANSWERED = 5
"""Visits without an answer of the API server, after which the status tells: one lost answer is no news."""
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
    released: bool = False
    """The deletion has come to its end: nothing may be made again while the last of it goes."""
    unanswered: int = 0
    """Visits in a row during which the API server did not answer as it should."""
    thresholds: Thresholds = field(default_factory=Thresholds)


class Reconciler:
    """Reconciles pipelines; ``context`` holds what they have in common."""

    def __init__(self, api: KubernetesApi, readers: DepthReaders, *, context: Context, authority_secret: str) -> None:
        self.children = Children()
        self.pipelines = Pipelines()
        self._api = api
        self._reporter = Reporter(api, self.pipelines)
        self._readers = readers
        self._context = context
        self._authority_secret = authority_secret
        self._memories: dict[PipelineKey, Memory] = {}
        self._kinds: frozenset[Kind] = frozenset()
        self._kinds_read_at = -math.inf
        self._kinds_lock = asyncio.Lock()

    async def reconcile(self, key: PipelineKey) -> float | None:
        """Bring one pipeline to what it should be; seconds until it wants to be looked at again, None if it is gone.

        Raises:
            kopf.TemporaryError: it could not be done now, and may be done after the error's delay.
            kopf.PermanentError: it cannot be done until the specification changes; the status says why.
        """
        body = self.pipelines.get(key)
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
                await self._release(key, body, memory)
                return RESYNC_SECONDS
            await self._reporter.fail(body, reason="InvalidSpec", message=str(error))
            raise kopf.PermanentError(f"{key.namespace}/{key.name} cannot be used as it is: {error}") from error
        delay = await self._visit(key, body, pipeline, memory)
        memory.unanswered = 0
        return delay

    async def _visit(self, key: PipelineKey, body: Manifest, pipeline: EventPipeline, memory: Memory) -> float:
        """Do it, and let the status tell what has kept it from being done."""
        work = self._drain if "deletionTimestamp" in body["metadata"] else self._converge
        try:
            return await work(key, body, pipeline, memory)
        except BackendUnavailableError as error:
            memory.unanswered += 1
            if memory.unanswered >= UNANSWERED:
                await self._reporter.fail(body, reason="ApiServerUnavailable", message=str(error))
            raise kopf.TemporaryError(str(error), delay=5) from error
        except ApiRefusalError as error:
            if error.status in (CONFLICT, NOT_FOUND):
                # The watch has not told of the latest change yet, or the pipeline has just gone.
                raise kopf.TemporaryError(str(error), delay=1) from error
            await self._reporter.fail(body, reason="ApiServerRefused", message=str(error))
            raise kopf.TemporaryError(str(error), delay=REFUSED_SECONDS) from error
        except Exception as error:
            text = f"a defect of the operator, whose log says more: {type(error).__name__}: {error}"
            await self._reporter.fail(body, reason="ReconcileFailed", message=text)
            raise

    async def _converge(self, key: PipelineKey, body: Manifest, pipeline: EventPipeline, memory: Memory) -> float:
        if FINALIZER not in body["metadata"].get("finalizers", ()):
            body = await self._set_finalizers(body, [*body["metadata"].get("finalizers", ()), FINALIZER])
        credentials = await self._credentials(pipeline, memory)
        await self._watch_depth(key, pipeline, credentials, _interval(pipeline))
        context = await self._context_of(credentials, draining=False)
        refusals = await self._apply(key, pipeline, memory, context)
        observation = self._observation(key, pipeline, memory, credentials, context, refusals)
        await self._reporter.report(body, observation, memory.thresholds)
        if credentials.missing:
            return MISSING_SECONDS
        return REFUSED_SECONDS if refusals else RESYNC_SECONDS

    async def _drain(self, key: PipelineKey, body: Manifest, pipeline: EventPipeline, memory: Memory) -> float:
        if memory.released:
            await self._release(key, body, memory)
            return DRAIN_SECONDS
        credentials = await self._credentials(pipeline, memory)
        reason = await self._hopeless(key, credentials)
        if reason:
            await self._reporter.announce(body, "Warning", "NotDrained", reason)
            await self._release(key, body, memory)
            return RESYNC_SECONDS
        context = await self._context_of(credentials, draining=True)
        refusals: list[Refusal] = []
        if pipeline.spec.deletion == "Drain":
            await self._watch_depth(key, pipeline, credentials, timedelta(seconds=DRAIN_SECONDS))
            refusals = await self._apply(key, pipeline, memory, context)
            if memory.stopped is None and await self._intake_is_off(key):
                memory.stopped = datetime.now(UTC)
        started = datetime.fromisoformat(body["metadata"]["deletionTimestamp"])
        judgement = drain.judge(
            pipeline, self._readers.latest(key), started=started, stopped=memory.stopped, now=datetime.now(UTC)
        )
        observation = self._observation(key, pipeline, memory, credentials, context, refusals)
        ready = Condition("Ready", "False", judgement.reason, judgement.message)
        await self._reporter.report(body, replace(observation, draining=ready), memory.thresholds)
        if judgement.done:
            severity: Severity = "Warning" if judgement.forced else "Normal"
            await self._reporter.announce(body, severity, judgement.reason, judgement.message)
            await self._release(key, body, memory)
        return DRAIN_SECONDS

    async def _hopeless(self, key: PipelineKey, credentials: Credentials) -> str:
        """Why the queue cannot be emptied at all, empty if it may be."""
        if credentials.queue_missing:
            return f"the queue was not emptied: {credentials.queue_missing}"
        namespace = await self._api.read(f"/api/v1/namespaces/{key.namespace}")
        if namespace is None or namespace.get("status", {}).get("phase") == "Terminating":
            return "the queue was not emptied: the namespace is being deleted"
        return ""

    async def _intake_is_off(self, key: PipelineKey) -> bool:
        deployment = self.children.of(key).get(ChildKey(DEPLOYMENT.kind, object_name(key.name, INGESTION)))
        if deployment is not None:
            status, metadata = deployment.get("status", {}), deployment["metadata"]
            seen = status.get("observedGeneration", 0) >= metadata.get("generation", 0)
            if not seen or deployment["spec"].get("replicas") != 0 or status.get("replicas", 0):
                return False
        # Pods on their way out are no replicas any more, and still take events.
        labels = ",".join(f"{label}={value}" for label, value in selector_labels(key.name, INGESTION).items())
        pods = await self._api.read_all(POD, namespace=key.namespace, selector=labels)
        return all(pod.get("status", {}).get("phase") in ("Succeeded", "Failed") for pod in pods)

    async def _release(self, key: PipelineKey, body: Manifest, memory: Memory) -> None:
        """Let the pipeline go, with those children that the garbage collector would not find any more."""
        memory.released = True
        left = [child for child in self.children.of(key).values() if is_annotated(child, memory.uid)]
        await asyncio.gather(*(self._api.delete(child) for child in left))
        body = self.pipelines.get(key) or body
        finalizers = [finalizer for finalizer in body["metadata"]["finalizers"] if finalizer != FINALIZER]
        await self._set_finalizers(body, finalizers)

    async def _apply(
        self, key: PipelineKey, pipeline: EventPipeline, memory: Memory, context: Context
    ) -> list[Refusal]:
        desired = desired_objects(pipeline, context)
        return await apply_all(self._api, self.children, key, desired=desired, owner=memory.uid)

    async def _set_finalizers(self, body: Manifest, finalizers: list[str]) -> Manifest:
        metadata = body["metadata"]
        change = {"metadata": {"resourceVersion": metadata["resourceVersion"], "finalizers": finalizers}}
        updated = await self._api.merge(pipeline_path(metadata["namespace"], metadata["name"]), change)
        self.pipelines.renew(updated)
        return updated

    async def _credentials(self, pipeline: EventPipeline, memory: Memory) -> Credentials:
        return await memory.credentials.read(self._api, pipeline, authority_secret=self._authority_secret)

    async def _watch_depth(
        self, key: PipelineKey, pipeline: EventPipeline, credentials: Credentials, interval: timedelta
    ) -> None:
        if not credentials.queue_missing:
            source = Source(
                pipeline.spec.queue,
                connection_string=credentials.connection_string,
                redis_url=credentials.redis_url,
                authority=credentials.authority,
                interval=interval,
            )
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
        refusals: list[Refusal],
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
