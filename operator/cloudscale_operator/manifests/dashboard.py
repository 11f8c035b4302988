"""The dashboard: its Deployment and its Service."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cloudscale.pipeline import SecretKey
from cloudscale_operator.manifests.secret_files import key_files, secret_file
from cloudscale_operator.manifests.services import WebPort, build_service
from cloudscale_operator.manifests.workload import Workload, build_deployment
from cloudscale_operator.names import (
    CERTIFICATE_HASH,
    CLIENT_SECRET_DIRECTORY,
    DASHBOARD,
    HTTP_PORT,
    TOKEN,
    TOKEN_DIRECTORY,
    object_name,
)

if TYPE_CHECKING:
    from cloudscale.pipeline import EventPipeline
    from cloudscale_operator.context import Context
    from cloudscale_operator.kinds import Manifest

DRAIN_SECONDS = 30
TOKEN_VARIABLE = "CLOUDSCALE_DASHBOARD_TOKEN_FILE"  # noqa: S105 - a name


def token_secret(pipeline: EventPipeline) -> SecretKey | None:
    """Where the tokens are: where the resource says, else in the Secret that the operator makes.

    None where people sign in with a provider alone.
    """
    spec = pipeline.spec.dashboard
    if spec.token_secret_ref is None and spec.sign_in is None:
        return SecretKey(name=object_name(pipeline.metadata.name, DASHBOARD), key=TOKEN)
    return spec.token_secret_ref


def build_dashboard(pipeline: EventPipeline, context: Context) -> list[Manifest]:
    """Deployment and Service, or nothing when the dashboard is switched off."""
    spec = pipeline.spec.dashboard
    if not spec.enabled:
        return []
    files = [
        secret_file(
            "token",
            token_secret(pipeline),
            directory=TOKEN_DIRECTORY,
            variable=TOKEN_VARIABLE,
        ),
        secret_file(
            "client-secret",
            spec.sign_in.client_secret_ref if spec.sign_in else None,
            directory=CLIENT_SECRET_DIRECTORY,
            variable="CLOUDSCALE_DASHBOARD_CLIENT_SECRET_FILE",
        ),
        *key_files(pipeline),
    ]
    mounted = [file for file in files if file is not None]
    web = WebPort.of(spec.tls_secret_name)
    workload = Workload(
        component=DASHBOARD,
        role=DASHBOARD,
        port_name=web.name,
        tls_secret=spec.tls_secret_name,
        annotations={CERTIFICATE_HASH: context.certificate_hash} if spec.tls_secret_name else {},
        port=HTTP_PORT,
        resources=spec.resources,
        grace_seconds=DRAIN_SECONDS,
        replicas=1,
        reads_api=True,
        environment=tuple(file.variable for file in mounted),
        volumes=tuple(file.volume for file in mounted),
        mounts=tuple(file.mount for file in mounted),
    )
    return [
        build_deployment(pipeline, context, workload),
        build_service(pipeline, DASHBOARD, {web.name: (web.number, HTTP_PORT)}),
    ]
