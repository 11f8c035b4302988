"""Ingestion: its Deployment and its Service."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cloudscale_operator.manifests.secret_files import key_files
from cloudscale_operator.manifests.services import WebPort, build_service
from cloudscale_operator.manifests.workload import Workload, build_deployment
from cloudscale_operator.names import HTTP_PORT, INGESTION

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
    web = WebPort.of(spec.tls_secret_name)
    files = [file for file in key_files(pipeline) if file is not None]
    workload = Workload(
        component=INGESTION,
        role=INGESTION,
        port_name=web.name,
        tls_secret=spec.tls_secret_name,
        port=HTTP_PORT,
        resources=spec.resources,
        grace_seconds=LAST_CLIENT_SECONDS + DRAIN_SECONDS,
        # An autoscaler decides in between; a pipeline that is being deleted takes nothing any more.
        replicas=0 if context.draining else None,
        stop_after_seconds=LAST_CLIENT_SECONDS,
        environment=tuple(file.variable for file in files),
        volumes=tuple(file.volume for file in files),
        mounts=tuple(file.mount for file in files),
    )
    return [
        build_deployment(pipeline, context, workload),
        build_service(pipeline, INGESTION, {web.name: (web.number, HTTP_PORT)}),
    ]
