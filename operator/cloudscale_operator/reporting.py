"""Writes what was found into the status of a pipeline, and records an Event when it has changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import structlog

from cloudscale.errors import CloudScaleError
from cloudscale_operator import metrics
from cloudscale_operator.conditions import transitions
from cloudscale_operator.event_recorder import KubernetesEvent, Severity, Thresholds, named, record_event, severity_of
from cloudscale_operator.pipelines import Pipelines, pipeline_key
from cloudscale_operator.status import Observation, build_status, failed_status

if TYPE_CHECKING:
    from cloudscale_operator.api import KubernetesApi
    from cloudscale_operator.kinds import Manifest
    from cloudscale_operator.timing import Timing

log = structlog.get_logger(__name__)


class Reporter:
    """Writes a status only where it differs from what is there."""

    def __init__(self, api: KubernetesApi, pipelines: Pipelines, *, timing: Timing) -> None:
        self._timing = timing
        self._api = api
        self._pipelines = pipelines

    async def report(self, body: Manifest, observation: Observation, thresholds: Thresholds) -> None:
        """Write the outcome of a completed reconcile."""
        previous = body.get("status", {})
        status = build_status(observation, previous, now=self._timing.now())
        await self._write(body, status)
        for condition in transitions(previous.get("conditions", ()), status["conditions"]):
            message = f"{condition['type']} is {condition['status']}: {condition['message']}"
            await self.record_event(body, severity_of(condition), condition["reason"], message)
        reading = observation.reading
        if reading and reading.backlog:
            concurrency = observation.pipeline.spec.processing.concurrency
            for severity, message in thresholds.crossed(concurrency, reading.backlog.events):
                await self.record_event(body, severity, "QueueDepth", message)

    async def fail(self, body: Manifest, *, reason: str, message: str) -> None:
        """Write that a reconcile failed, since the status would otherwise go on showing what held before.

        The caller raises its own error, so a failure to write the status is only logged.
        """
        body = self._pipelines.get(pipeline_key(body)) or body
        previous = body.get("status", {})
        generation = body["metadata"]["generation"]
        status = failed_status(previous, generation=generation, reason=reason, message=message, now=self._timing.now())
        if "deletionTimestamp" in body["metadata"]:
            status["phase"] = "Draining"
        if status == previous:
            metrics.READY.labels(*pipeline_key(body)).set(0)
            return
        try:
            await self._write(body, status)
        except CloudScaleError as error:
            log.warning(
                "the failure could not be written into the status", reason=reason, error=str(error), **named(body)
            )
            return
        await self.record_event(body, "Warning", reason, message)

    async def record_event(self, body: Manifest, severity: Severity, reason: str, message: str) -> None:
        """Record an Event about the pipeline."""
        event = KubernetesEvent(severity, reason, message, self._timing.now())
        await record_event(self._api, body, event)

    async def _write(self, body: Manifest, status: dict[str, Any]) -> None:
        key = pipeline_key(body)
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
        self._pipelines.renew(await self._api.apply(manifest, subresource="/status"))
