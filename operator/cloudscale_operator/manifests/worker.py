"""Workers: their Deployment, and a Service through which their metrics are found; nobody else calls them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cloudscale_operator.kinds import SCALED_OBJECT, Manifest
from cloudscale_operator.manifests.services import build_service
from cloudscale_operator.manifests.workload import Workload, build_deployment
from cloudscale_operator.names import METRICS_PORT, WORKER

if TYPE_CHECKING:
    from cloudscale.pipeline import EventPipeline
    from cloudscale_operator.context import Context

DRAIN_SECONDS = 60
"""What a worker holds it settles or gives back, projects and closes."""


def build_worker(pipeline: EventPipeline, context: Context) -> list[Manifest]:
    """Deployment and Service; KEDA owns the number of replicas where KEDA is."""
    workload = Workload(
        component=WORKER,
        role=WORKER,
        port_name="metrics",
        port=METRICS_PORT,
        resources=pipeline.spec.processing.resources,
        grace_seconds=DRAIN_SECONDS,
        replicas=_replicas(pipeline, context),
    )
    ports = {"metrics": (METRICS_PORT, METRICS_PORT)}
    return [build_deployment(pipeline, context, workload), build_service(pipeline, WORKER, ports)]


def _replicas(pipeline: EventPipeline, context: Context) -> int | None:
    """How many workers run: None where KEDA decides; at least one elsewhere, or nobody would ever empty the queue.

    A Deployment without a number starts with one worker, which would take events before KEDA has seen that the
    pipeline is paused.
    """
    if pipeline.spec.paused and not context.draining:
        return 0
    return None if SCALED_OBJECT in context.available else max(pipeline.spec.processing.replicas.min, 1)
