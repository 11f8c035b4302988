"""The dashboard: its Deployment and its Service."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cloudscale_operator.manifests.services import build_service
from cloudscale_operator.manifests.workload import Workload, build_deployment
from cloudscale_operator.names import DASHBOARD, HTTP_PORT, TOKEN_DIRECTORY, object_name

if TYPE_CHECKING:
    from cloudscale.pipeline import EventPipeline
    from cloudscale_operator.context import Context
    from cloudscale_operator.kinds import Manifest

DRAIN_SECONDS = 30


def build_dashboard(pipeline: EventPipeline, context: Context) -> list[Manifest]:
    """Deployment and Service, or nothing when the dashboard is switched off."""
    spec = pipeline.spec.dashboard
    if not spec.enabled:
        return []
    environment: tuple[dict[str, Any], ...] = ()
    volumes: tuple[dict[str, Any], ...] = ()
    mounts: tuple[dict[str, Any], ...] = ()
    if token := spec.token_secret_ref:
        # A file, not a variable: the dashboard reads changed tokens without a restart.
        environment = ({"name": "CLOUDSCALE_DASHBOARD_TOKEN_FILE", "value": f"{TOKEN_DIRECTORY}/{token.key}"},)
        items = [{"key": token.key, "path": token.key}]
        volumes = ({"name": "token", "secret": {"secretName": token.name, "items": items}},)
        mounts = ({"name": "token", "mountPath": TOKEN_DIRECTORY, "readOnly": True},)
    workload = Workload(
        component=DASHBOARD,
        service_account=object_name(pipeline.metadata.name, DASHBOARD),
        port_name="http",
        port=HTTP_PORT,
        resources=spec.resources,
        grace_seconds=DRAIN_SECONDS,
        replicas=1,
        reads_api=True,
        environment=environment,
        volumes=volumes,
        mounts=mounts,
    )
    return [
        build_deployment(pipeline, context, workload),
        build_service(pipeline, DASHBOARD, {"http": (80, HTTP_PORT)}),
    ]
