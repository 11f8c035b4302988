"""Ingestion: its Deployment and its Service."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cloudscale_operator.manifests.services import build_service
from cloudscale_operator.manifests.workload import Workload, build_deployment
from cloudscale_operator.names import HTTP_PORT, INGESTION, PIPELINE_SERVICE_ACCOUNT, object_name

if TYPE_CHECKING:
    from cloudscale.pipeline import EventPipeline
    from cloudscale_operator.context import Context
    from cloudscale_operator.kinds import Manifest

LAST_CLIENT_SECONDS = 5
"""How long it takes until no proxy sends to a pod that is being removed."""
DRAIN_SECONDS = 40
"""Twice what the server grants its requests to end, for it waits for the broker's answer to each group."""


def build_ingestion(pipeline: EventPipeline, context: Context) -> list[Manifest]:
    """Deployment and Service."""
    spec = pipeline.spec.ingestion
    workload = Workload(
        component=INGESTION,
        service_account=object_name(pipeline.metadata.name, PIPELINE_SERVICE_ACCOUNT),
        port_name="http",
        port=HTTP_PORT,
        resources=spec.resources,
        grace_seconds=LAST_CLIENT_SECONDS + DRAIN_SECONDS,
        # An autoscaler decides in between; a pipeline that is being deleted takes nothing any more.
        replicas=0 if context.draining else None,
        stop_after_seconds=LAST_CLIENT_SECONDS,
    )
    return [
        build_deployment(pipeline, context, workload),
        build_service(pipeline, INGESTION, {"http": (80, HTTP_PORT)}),
    ]
