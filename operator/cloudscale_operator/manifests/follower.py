"""What follows the store: one pod that writes the archive, one that sends to outlets, and Services for their metrics.

They are apart so that a receiver that hangs, or has much sent to it, takes nothing from the archive.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cloudscale.pipeline import Resources
from cloudscale.settings import outlet_secret_variable
from cloudscale_operator.manifests.configuration import configuration_hash
from cloudscale_operator.manifests.services import build_service
from cloudscale_operator.manifests.workload import Workload, build_deployment, secret_variable
from cloudscale_operator.names import CONFIGURATION_HASH, FOLLOWER, METRICS_PORT, OUTLETS, OUTLETS_HASH

if TYPE_CHECKING:
    from cloudscale.pipeline import EventPipeline
    from cloudscale_operator.context import Context
    from cloudscale_operator.kinds import Manifest

DRAIN_SECONDS: Final = 60
"""It archives what is stored, and gives the lease back."""

TEMPORARY_SIZE: Final = "8Gi"
"""For what waits for a file: a quarter of a gibibyte at the most for each range of the change feed, and the file."""

RESOURCES: Final = Resources(requests={"cpu": "100m", "memory": "256Mi"}, limits={"memory": "1Gi"})
"""DuckDB is given 256 MB of it."""

OUTLETS_RESOURCES: Final = Resources(requests={"cpu": "100m", "memory": "128Mi"}, limits={"memory": "512Mi"})
"""Ten outlets hold a page of 500 events of each range at the most."""


def build_follower(pipeline: EventPipeline, context: Context) -> list[Manifest]:
    """Deployment and Service, where the pipeline has an archive that pods can write to."""
    archive = pipeline.spec.archive
    if archive is None or archive.blob is None:
        return []
    workload = Workload(
        component=FOLLOWER,
        role=FOLLOWER,
        port_name="metrics",
        port=METRICS_PORT,
        resources=RESOURCES,
        grace_seconds=DRAIN_SECONDS,
        replicas=1,
        # An archive has one writer.
        is_alone=True,
        uses_cache=False,
        temporary_size=TEMPORARY_SIZE,
        environment=secret_variable("CLOUDSCALE_ARCHIVE_CONNECTION_STRING", archive.blob.connection_secret_ref),
    )
    ports = {"metrics": (METRICS_PORT, METRICS_PORT)}
    return [build_deployment(pipeline, context, workload), build_service(pipeline, FOLLOWER, ports)]


def build_outlets(pipeline: EventPipeline, context: Context) -> list[Manifest]:
    """Deployment and Service of who sends to outlets, where the pipeline has some."""
    outlets = pipeline.spec.outlets
    if not outlets:
        return []
    workload = Workload(
        component=OUTLETS,
        role=FOLLOWER,
        arguments=(OUTLETS,),
        port_name="metrics",
        port=METRICS_PORT,
        resources=OUTLETS_RESOURCES,
        grace_seconds=DRAIN_SECONDS,
        replicas=1,
        # Two would send the same events, and out of order, while one takes over from the other.
        is_alone=True,
        uses_cache=False,
        environment=tuple(
            variable
            for outlet in outlets
            for variable in secret_variable(outlet_secret_variable(outlet.name), outlet.webhook.secret_ref)
        ),
        annotations={
            CONFIGURATION_HASH: configuration_hash(pipeline, with_outlets=True),
            OUTLETS_HASH: context.outlets_hash,
        },
    )
    ports = {"metrics": (METRICS_PORT, METRICS_PORT)}
    return [build_deployment(pipeline, context, workload), build_service(pipeline, OUTLETS, ports)]
