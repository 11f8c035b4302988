"""The pod that all services have in common, and the Deployment around it.

Pods meet the *restricted* Pod Security Standard: a user that is not root, no privilege escalation, no capability, the
runtime's seccomp profile, a read-only root file system.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from cloudscale_operator.kinds import DEPLOYMENT, Manifest
from cloudscale_operator.manifests.configuration import configuration_hash
from cloudscale_operator.manifests.identity import service_account
from cloudscale_operator.manifests.placing import build_placement
from cloudscale_operator.names import (
    AUTHORITY_DIRECTORY,
    AUTHORITY_KEY,
    CONFIGURATION_DIRECTORY,
    CONFIGURATION_FILE,
    CONFIGURATION_HASH,
    CREDENTIALS_HASH,
    METRICS_DIRECTORY,
    PIPELINE_CONFIGURATION,
    TLS_DIRECTORY,
    common_labels,
    object_name,
    selector_labels,
)

if TYPE_CHECKING:
    from cloudscale.pipeline import EventPipeline, Resources, Role, SecretKey
    from cloudscale_operator.context import Context

USER_ID = 65532

STARTUP_SECONDS = 60
ROLLOUT_SECONDS = 300
REVISIONS = 3

METRICS_SIZE = "64Mi"
TEMPORARY_SIZE = "256Mi"


@dataclass(frozen=True)
class Workload:
    """What makes one service's Deployment differ from the others'."""

    component: str
    """What its objects are called, and its pods labelled."""
    role: Role
    """Whose account, credentials and program it has."""
    port_name: str
    port: int
    resources: Resources
    grace_seconds: int
    """Longer than the service takes to drain, or the kubelet would kill it on the way."""
    replicas: int | None = None
    """None leaves the number to an autoscaler."""
    stop_after_seconds: int = 0
    """How long a stopping pod still serves, so that the last client has heard that it is gone."""
    reads_api: bool = False
    environment: tuple[dict[str, Any], ...] = ()
    volumes: tuple[dict[str, Any], ...] = ()
    mounts: tuple[dict[str, Any], ...] = field(default=())
    annotations: dict[str, str] = field(default_factory=dict)
    """Of the pods."""
    is_alone: bool = False
    """Whether a new pod waits until the old one has ended."""
    uses_cache: bool = True
    temporary_size: str = TEMPORARY_SIZE
    tls_secret: str | None = None
    """Secret with the certificate that the service shows; None for plain HTTP."""
    arguments: tuple[str, ...] = ()
    """Of the role's program."""


def build_deployment(pipeline: EventPipeline, context: Context, workload: Workload) -> Manifest:
    """The Deployment of one service."""
    name = pipeline.metadata.name
    labels = selector_labels(name, workload.component)
    specification: dict[str, Any] = {
        "revisionHistoryLimit": REVISIONS,
        "progressDeadlineSeconds": ROLLOUT_SECONDS,
        "selector": {"matchLabels": labels},
        "strategy": _strategy(workload),
        "template": {
            "metadata": {
                "labels": {**common_labels(name), **labels, **_identity_labels(pipeline, workload.role)},
                "annotations": {
                    CONFIGURATION_HASH: configuration_hash(pipeline),
                    CREDENTIALS_HASH: context.credentials_hash,
                    **workload.annotations,
                },
            },
            "spec": _pod(pipeline, context, workload),
        },
    }
    if workload.replicas is not None:
        specification["replicas"] = workload.replicas
    return {
        "apiVersion": DEPLOYMENT.api_version,
        "kind": DEPLOYMENT.kind,
        "metadata": {"name": object_name(name, workload.component), "labels": labels},
        "spec": specification,
    }


def _strategy(workload: Workload) -> dict[str, Any]:
    if workload.is_alone:
        return {"type": "Recreate"}
    # A new pod is ready before an old one goes, so a rollout never lowers what can be served.
    return {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}


def secret_variable(variable: str, secret: SecretKey | None) -> tuple[dict[str, Any], ...]:
    """The environment variable that holds a Secret's value, none without a Secret."""
    if secret is None:
        return ()
    return ({"name": variable, "valueFrom": {"secretKeyRef": {"name": secret.name, "key": secret.key}}},)


def _cache(secret: SecretKey | None) -> tuple[dict[str, Any], ...]:
    # Every service asks for the variable, also one that has no right to know the address.
    return secret_variable("CLOUDSCALE_REDIS_URL", secret) or ({"name": "CLOUDSCALE_REDIS_URL", "value": ""},)


def _pod(pipeline: EventPipeline, context: Context, workload: Workload) -> dict[str, Any]:
    pod: dict[str, Any] = {
        "serviceAccountName": service_account(pipeline, workload.role),
        "automountServiceAccountToken": workload.reads_api,
        # The variables of other Services would only be noise, hundreds of them in a large namespace.
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": workload.grace_seconds,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER_ID,
            "runAsGroup": USER_ID,
            "fsGroup": USER_ID,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [_container(pipeline, context, workload)],
        "volumes": [
            {"name": "temporary", "emptyDir": {"sizeLimit": workload.temporary_size}},
            {"name": "metrics", "emptyDir": {"medium": "Memory", "sizeLimit": METRICS_SIZE}},
            {"name": "pipeline", "configMap": {"name": object_name(pipeline.metadata.name, PIPELINE_CONFIGURATION)}},
            *_authority_volume(context),
            *_certificate_volume(workload),
            *workload.volumes,
        ],
        **build_placement(pipeline, workload.component),
    }
    if context.image_pull_secrets:
        pod["imagePullSecrets"] = [{"name": name} for name in context.image_pull_secrets]
    return pod


def _container(pipeline: EventPipeline, context: Context, workload: Workload) -> dict[str, Any]:
    spec = pipeline.spec
    variables = {
        "CLOUDSCALE_PIPELINE_FILE": f"{CONFIGURATION_DIRECTORY}/{CONFIGURATION_FILE}",
        "CLOUDSCALE_HOST": "0.0.0.0",  # noqa: S104 - a pod's network is its own; NetworkPolicies guard it
        "CLOUDSCALE_PORT": str(workload.port),
        "CLOUDSCALE_METRICS_PORT": str(workload.port),
        "CLOUDSCALE_LOG_FORMAT": context.log_format,
        "PROMETHEUS_MULTIPROC_DIR": METRICS_DIRECTORY,
    }
    if context.authority_secret:
        variables["CLOUDSCALE_CERTIFICATE_AUTHORITY_FILE"] = f"{AUTHORITY_DIRECTORY}/{AUTHORITY_KEY}"
    if workload.tls_secret:
        variables["CLOUDSCALE_TLS_FOLDER"] = TLS_DIRECTORY
    container: dict[str, Any] = {
        "name": workload.component,
        "image": context.image,
        "imagePullPolicy": context.image_pull_policy,
        "args": ["python", "-m", f"cloudscale.{workload.role}", *workload.arguments],
        "env": [
            *({"name": name, "value": value} for name, value in variables.items()),
            *_cache(spec.cache.url_secret_ref if workload.uses_cache else None),
            *secret_variable("CLOUDSCALE_SERVICEBUS_CONNECTION_STRING", spec.queue.connection_of(workload.role)),
            *secret_variable("CLOUDSCALE_COSMOS_CONNECTION_STRING", spec.store.connection_of(workload.role)),
            *secret_variable(
                "APPLICATIONINSIGHTS_CONNECTION_STRING", spec.telemetry.tracing.application_insights_secret_ref
            ),
            *workload.environment,
        ],
        "ports": [{"name": workload.port_name, "containerPort": workload.port, "protocol": "TCP"}],
        "resources": {"requests": dict(workload.resources.requests), "limits": dict(workload.resources.limits)},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "startupProbe": _probe(workload, "/health", period=1, failures=STARTUP_SECONDS),
        "livenessProbe": _probe(workload, "/health", period=10, failures=3),
        "readinessProbe": _probe(workload, "/ready", period=5, failures=2),
        "volumeMounts": [
            {"name": "temporary", "mountPath": "/tmp"},  # noqa: S108 - a volume of this pod alone
            {"name": "metrics", "mountPath": METRICS_DIRECTORY},
            {"name": "pipeline", "mountPath": CONFIGURATION_DIRECTORY, "readOnly": True},
            *_authority_mount(context),
            *_certificate_mount(workload),
            *workload.mounts,
        ],
    }
    if workload.stop_after_seconds:
        container["lifecycle"] = {"preStop": {"sleep": {"seconds": workload.stop_after_seconds}}}
    return container


def _probe(workload: Workload, path: str, *, period: int, failures: int) -> dict[str, Any]:
    return {
        "httpGet": {"path": path, "port": workload.port_name} | ({"scheme": "HTTPS"} if workload.tls_secret else {}),
        "periodSeconds": period,
        "timeoutSeconds": 3,
        "failureThreshold": failures,
    }


def _identity_labels(pipeline: EventPipeline, role: Role) -> dict[str, str]:
    return {"azure.workload.identity/use": "true"} if pipeline.spec.identity.client_id_of(role) else {}


def _authority_volume(context: Context) -> tuple[dict[str, Any], ...]:
    if not context.authority_secret:
        return ()
    items = [{"key": AUTHORITY_KEY, "path": AUTHORITY_KEY}]
    return ({"name": "authority", "secret": {"secretName": context.authority_secret, "items": items}},)


def _authority_mount(context: Context) -> tuple[dict[str, Any], ...]:
    if not context.authority_secret:
        return ()
    return ({"name": "authority", "mountPath": AUTHORITY_DIRECTORY, "readOnly": True},)


def _certificate_volume(workload: Workload) -> tuple[dict[str, Any], ...]:
    return ({"name": "certificate", "secret": {"secretName": workload.tls_secret}},) if workload.tls_secret else ()


def _certificate_mount(workload: Workload) -> tuple[dict[str, Any], ...]:
    if not workload.tls_secret:
        return ()
    return ({"name": "certificate", "mountPath": TLS_DIRECTORY, "readOnly": True},)
