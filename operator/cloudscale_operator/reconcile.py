"""Reconciles one pipeline: makes its objects what the resource asks for.

Every trigger leads here: a changed pipeline, a changed or deleted child, a new depth, a timer. What is done depends on
the present state alone, so after a crash at any point the next reconcile goes on.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from cloudscale import pipeline as resource
from cloudscale.errors import BackendUnavailableError, InvalidPipelineError
from cloudscale.units import parse_duration
from cloudscale_operator import archives, drain, hosts
from cloudscale_operator.api import CONFLICT, NOT_FOUND, ApiRefusalError, pipeline_path
from cloudscale_operator.applying import Refusal, apply_all
from cloudscale_operator.availability import is_unserved, unavailable_roles, was_scaled_to_zero
from cloudscale_operator.children import ChildKey, Children, PipelineKey, is_annotated
from cloudscale_operator.claims import Claim, NotAdmittedError, QueueClaims, age_of, claim_of
from cloudscale_operator.conditions import Condition
from cloudscale_operator.delays import (
    DRAIN_SECONDS,
    MISSING_SECONDS,
    REFUSED_SECONDS,
    RESYNC_SECONDS,
    STALE_SECONDS,
    UNANSWERED_VISITS,
    UNAVAILABLE_SECONDS,
)
from cloudscale_operator.depth import DepthReaders, Source
from cloudscale_operator.desired import desired_objects
from cloudscale_operator.entra import identity_of
from cloudscale_operator.errors import ImpossibleError, PostponedError
from cloudscale_operator.extensions import Extensions
from cloudscale_operator.generated_secrets import announce
from cloudscale_operator.inherited import inherit
from cloudscale_operator.intake import intake_is_off, undrainable_reason
from cloudscale_operator.kinds import DEPLOYMENT, Manifest
from cloudscale_operator.memory import Memory
from cloudscale_operator.names import FINALIZER, WORKER, object_name
from cloudscale_operator.pipelines import Pipelines, pipeline_key
from cloudscale_operator.reporting import Reporter
from cloudscale_operator.status import Observation
from cloudscale_operator.timing import DEFAULT_TIMING
from cloudscale_operator.unsaid import resolve

if TYPE_CHECKING:
    from cloudscale.pipeline import EventPipeline
    from cloudscale_operator.api import KubernetesApi
    from cloudscale_operator.context import Context
    from cloudscale_operator.credentials import Credentials
    from cloudscale_operator.event_recorder import Severity
    from cloudscale_operator.timing import Timing


class Reconciler:
    """Reconciles pipelines. ``context`` holds what they have in common."""

    def __init__(
        self,
        api: KubernetesApi,
        readers: DepthReaders,
        *,
        context: Context,
        authority_secret: str,
        timing: Timing = DEFAULT_TIMING,
    ) -> None:
        self.children = Children()
        self.pipelines = Pipelines()
        self._api = api
        self._timing = timing
        self._reporter = Reporter(api, self.pipelines, timing=timing)
        self._readers = readers
        self._context = context
        self._authority_secret = authority_secret
        self._memories: dict[PipelineKey, Memory] = {}
        self._claims = QueueClaims()
        self._extensions = Extensions(api, timing=timing)

    async def reconcile(self, key: PipelineKey) -> float | None:
        """Bring one pipeline to what it should be.

        Returns the seconds until its next reconcile, None if the pipeline is gone.

        Raises:
            PostponedError: it could not be done now; the error says when to try again.
            ImpossibleError: it cannot be done until the specification changes; the status says why.
        """
        body = self.pipelines.get(key)
        if body is None:
            await self._forget(key)
            return None
        memory = self._memories.get(key)
        if memory is None or memory.uid != body["metadata"]["uid"]:
            memory = self._memories[key] = Memory.of(body["metadata"]["uid"], timing=self._timing)
            self._claims.forget(key)
        deleting = "deletionTimestamp" in body["metadata"]
        if deleting and FINALIZER not in body["metadata"].get("finalizers", ()):
            return RESYNC_SECONDS
        try:
            pipeline = resource.load(body)
        except InvalidPipelineError as error:
            self._claims.state(key, Claim(age_of(body)))
            if deleting:
                await self._release(key, body, memory)
                return RESYNC_SECONDS
            await self._reporter.fail(body, reason="InvalidSpec", message=str(error))
            raise ImpossibleError(f"{key.namespace}/{key.name} cannot be used as it is: {error}") from error
        delay = await self._visit(key, body, pipeline, memory)
        memory.unanswered = 0
        return delay

    async def _visit(self, key: PipelineKey, body: Manifest, pipeline: EventPipeline, memory: Memory) -> float:
        """Apply or drain, and write into the status what prevented it."""
        pipeline = await resolve(pipeline, body, self.children.of(key), self._reporter)
        work = self._drain if "deletionTimestamp" in body["metadata"] else self._converge
        try:
            return await work(key, body, pipeline, memory)
        except NotAdmittedError as error:
            return await self._turn_away(key, body, memory, error)
        except BackendUnavailableError as error:
            memory.unanswered += 1
            if memory.unanswered >= UNANSWERED_VISITS:
                await self._reporter.fail(body, reason="ApiServerUnavailable", message=str(error))
            raise PostponedError(str(error), retry_after_seconds=UNAVAILABLE_SECONDS) from error
        except ApiRefusalError as error:
            if error.status in (CONFLICT, NOT_FOUND):
                # The watch has not shown the latest change yet, or the pipeline has just been deleted.
                raise PostponedError(str(error), retry_after_seconds=STALE_SECONDS) from error
            await self._reporter.fail(body, reason="ApiServerRefused", message=str(error))
            raise PostponedError(str(error), retry_after_seconds=REFUSED_SECONDS) from error
        except Exception as error:
            text = f"a defect of the operator ({type(error).__name__}: {error}): report it with its log's traceback"
            await self._reporter.fail(body, reason="ReconcileFailed", message=text)
            raise

    async def _admit(self, key: PipelineKey, body: Manifest, pipeline: EventPipeline, memory: Memory) -> Credentials:
        """The credentials of a pipeline that may have the hosts and the queue that it names.

        Raises:
            NotAdmittedError: it may not, and nothing was contacted.
            PostponedError: an older pipeline has to say first which queue is its own.
        """
        if reason := hosts.refusal(pipeline, self._context.allowed_hosts):
            self._claims.state(key, Claim(age_of(body)))
            raise NotAdmittedError("HostNotAllowed", reason)
        if reason := archives.refusal(pipeline):
            self._claims.state(key, Claim(age_of(body)))
            raise NotAdmittedError("ArchiveNotSupported", reason)
        known = ""
        try:
            credentials = await memory.credentials.read(self._api, pipeline, authority_secret=self._authority_secret)
            known = credentials.connection_string
        finally:
            self._claims.state(key, claim_of(body, pipeline, connection_string=known))
        if self._claims.is_waited_for(key, self.pipelines.items()):
            raise PostponedError("older pipelines' queues are not known yet", retry_after_seconds=STALE_SECONDS)
        self._claims.require(key, queue=pipeline.spec.queue.name)
        return credentials

    async def _turn_away(self, key: PipelineKey, body: Manifest, memory: Memory, error: NotAdmittedError) -> float:
        """Leave a pipeline as it is and write the reason into its status; one that is being deleted is released."""
        await self._readers.forget(key)
        if "deletionTimestamp" in body["metadata"]:
            await self._reporter.record_event(body, "Warning", "NotDrained", f"the queue was not emptied: {error}")
            await self._release(key, body, memory)
            return RESYNC_SECONDS
        await self._reporter.fail(body, reason=error.reason, message=str(error))
        return MISSING_SECONDS

    async def _converge(self, key: PipelineKey, body: Manifest, pipeline: EventPipeline, memory: Memory) -> float:
        credentials = await self._admit(key, body, pipeline, memory)
        if FINALIZER not in body["metadata"].get("finalizers", ()):
            body = await self._set_finalizers(body, [*body["metadata"].get("finalizers", ()), FINALIZER])
        context = await self._context_of(key, credentials, draining=False)
        made = await memory.secrets.ensure(self._api, pipeline)
        await announce(made, pipeline, body, self.children.of(key), self._reporter)
        refusals = [*made.refusals, *await self._apply(key, pipeline, memory, context)]
        # After the ServiceAccount is there, for the reader may need a token of it.
        interval = parse_duration(pipeline.spec.processing.concurrency.interval)
        await self._watch_depth(key, pipeline, credentials, interval)
        unavailable = unavailable_roles(key, self.children)
        problems = await memory.pods.read(self._api, key, unavailable)
        observation = self._observation(body, pipeline, memory, credentials, context, refusals)
        await self._reporter.report(body, replace(observation, problems=problems), memory.thresholds)
        if credentials.missing or unavailable:
            return MISSING_SECONDS
        return REFUSED_SECONDS if refusals else RESYNC_SECONDS

    async def _drain(self, key: PipelineKey, body: Manifest, pipeline: EventPipeline, memory: Memory) -> float:
        if memory.released:
            await self._release(key, body, memory)
            return DRAIN_SECONDS
        credentials = await self._admit(key, body, pipeline, memory)
        reason = await undrainable_reason(self._api, key, self.children.of(key), credentials)
        if reason:
            await self._reporter.record_event(body, "Warning", "NotDrained", reason)
            await self._release(key, body, memory)
            return RESYNC_SECONDS
        context = await self._context_of(key, credentials, draining=True)
        refusals: list[Refusal] = []
        if pipeline.spec.deletion == "Drain":
            await self._watch_depth(key, pipeline, credentials, timedelta(seconds=DRAIN_SECONDS))
            refusals = await self._apply(key, pipeline, memory, context)
            if memory.stopped is None and await intake_is_off(self._api, key, self.children.of(key)):
                memory.stopped = self._timing.now()
        started = datetime.fromisoformat(body["metadata"]["deletionTimestamp"])
        verdict = drain.evaluate(
            pipeline, self._readers.recent(key), started=started, stopped=memory.stopped, now=self._timing.now()
        )
        observation = self._observation(body, pipeline, memory, credentials, context, refusals)
        ready = Condition("Ready", "False", verdict.reason, verdict.message)
        await self._reporter.report(body, replace(observation, draining=ready), memory.thresholds)
        if verdict.done:
            severity: Severity = "Warning" if verdict.forced else "Normal"
            await self._reporter.record_event(body, severity, verdict.reason, verdict.message)
            await self._release(key, body, memory)
        return DRAIN_SECONDS

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

    async def _watch_depth(
        self, key: PipelineKey, pipeline: EventPipeline, credentials: Credentials, interval: timedelta
    ) -> None:
        if credentials.queue_missing:
            await self._readers.forget(key)
            return
        source = Source(
            pipeline.spec.queue,
            connection_string=credentials.connection_string,
            redis_url=credentials.redis_url,
            authority=credentials.authority,
            interval=interval,
            identity=identity_of(pipeline),
        )
        await self._readers.ensure(key, source)

    async def _context_of(self, key: PipelineKey, credentials: Credentials, *, draining: bool) -> Context:
        context = replace(
            self._context,
            authority_secret=self._authority_secret if credentials.authority else "",
            credentials_hash=credentials.digest,
            broker_hash=credentials.broker_digest,
            certificate_hash=credentials.certificate_digest,
            outlets_hash=credentials.outlets_digest,
            backend_ports=credentials.ports,
            available=await self._extensions.read(),
            draining=draining,
        )
        return context if credentials.is_complete else inherit(context, self.children.of(key), key.name)

    def _observation(
        self,
        body: Manifest,
        pipeline: EventPipeline,
        memory: Memory,
        credentials: Credentials,
        context: Context,
        refusals: list[Refusal],
    ) -> Observation:
        key = pipeline_key(body)
        live, reading = self.children.of(key), self._readers.latest(key)
        worker = live.get(ChildKey(DEPLOYMENT.kind, object_name(key.name, WORKER)))
        unserved = is_unserved(worker, reading, was_scaled_to_zero=was_scaled_to_zero(body.get("status", {})))
        memory.note_service(is_unserved=unserved, now=self._timing.now())
        return Observation(
            pipeline=pipeline,
            live=live,
            available=context.available,
            reading=reading,
            unserved_since=memory.unserved_since,
            missing=credentials.missing,
            refusals=tuple(refusals),
            applied=self.children.applied(key),
        )

    async def _forget(self, key: PipelineKey) -> None:
        self._claims.forget(key)
        self._memories.pop(key, None)
        self.children.forget(key)
        await self._readers.forget(key)
