"""How many replicas run: KEDA's ScaledObjects, or a plain autoscaler where the cluster has no KEDA.

Workers follow the queue through KEDA's own azure-servicebus trigger. Ingestion follows its request rate: KEDA asks the
Service for ``/figures``, which one replica answers with the requests a second that it serves. The metric is of type
``Value``, for which the autoscaler's rule is replicas times figure over target, so one replica's figure is all that it
needs, as requests are spread evenly.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from cloudscale.units import parse_duration
from cloudscale_operator.kinds import AUTOSCALER, SCALED_OBJECT, TRIGGER_AUTHENTICATION, Manifest
from cloudscale_operator.manifests.services import WebPort
from cloudscale_operator.names import BROKER, INGESTION, READER, WORKER, object_name, selector_labels

if TYPE_CHECKING:
    from cloudscale.pipeline import EventPipeline
    from cloudscale_operator.context import Context

PAUSED_REPLICAS = "autoscaling.keda.sh/paused-replicas"

FAILURES_UNTIL_FALLBACK = 3
INGESTION_POLLING_SECONDS = 10
INGESTION_CALM_SECONDS = 120
WORKER_CALM_SECONDS = 60
TARGET_CPU_PERCENT = 70
PUBLIC_SUFFIX = "servicebus.windows.net"


def build_scaling(pipeline: EventPipeline, context: Context) -> list[Manifest]:
    """ScaledObjects and TriggerAuthentication with KEDA; without it an autoscaler on ingestion's CPU."""
    if SCALED_OBJECT in context.available:
        return [_broker_access(pipeline), _workers(pipeline, context), *_ingestion(pipeline, context)]
    # An autoscaler does not touch a Deployment that is scaled to zero.
    return [_ingestion_by_cpu(pipeline)]


def _broker_access(pipeline: EventPipeline) -> Manifest:
    secret = pipeline.spec.queue.connection_of(READER)
    if secret:
        specification: dict[str, Any] = {
            "secretTargetRef": [{"parameter": "connection", "name": secret.name, "key": secret.key}]
        }
    else:
        identity = pipeline.spec.identity.client_id_of(READER)
        specification = {"podIdentity": {"provider": "azure-workload", "identityId": identity}}
    return {
        "apiVersion": TRIGGER_AUTHENTICATION.api_version,
        "kind": TRIGGER_AUTHENTICATION.kind,
        "metadata": {"name": object_name(pipeline.metadata.name, BROKER)},
        "spec": specification,
    }


def _workers(pipeline: EventPipeline, context: Context) -> Manifest:
    replicas = pipeline.spec.processing.replicas
    trigger: dict[str, Any] = {
        "type": "azure-servicebus",
        "metadata": _queue(pipeline),
        "authenticationRef": {"name": object_name(pipeline.metadata.name, BROKER)},
    }
    if context.broker_hash:
        # KEDA reads the Secret when it builds a scaler, and builds a new one only when the ScaledObject's
        # specification changes. A trigger's name means nothing else where there is a single one.
        trigger["name"] = f"{BROKER}-{context.broker_hash}"
    specification = {
        "pollingInterval": _seconds(replicas.polling_interval),
        "cooldownPeriod": _seconds(replicas.cooldown),
        "minReplicaCount": replicas.min,
        "maxReplicaCount": replicas.max,
        "fallback": {"failureThreshold": FAILURES_UNTIL_FALLBACK, "replicas": min(replicas.fallback, replicas.max)},
        "triggers": [trigger],
    }
    # A pipeline that is being deleted has to empty its queue, paused or not.
    paused = pipeline.spec.paused and not context.draining
    return _scaled_object(pipeline, WORKER, specification, calm_seconds=WORKER_CALM_SECONDS, paused=paused)


def _queue(pipeline: EventPipeline) -> dict[str, str]:
    spec = pipeline.spec
    metadata = {
        "queueName": spec.queue.name,
        "messageCount": str(spec.processing.replicas.messages_per_replica),
    }
    if spec.queue.namespace:
        name, _, suffix = spec.queue.namespace.partition(".")
        metadata["namespace"] = name
        if suffix != PUBLIC_SUFFIX:
            metadata |= {"cloud": "Private", "endpointSuffix": suffix}
    return metadata


def _ingestion(pipeline: EventPipeline, context: Context) -> list[Manifest]:
    if context.draining:
        return []
    name, namespace = pipeline.metadata.name, pipeline.metadata.namespace
    spec = pipeline.spec.ingestion
    web = WebPort.of(spec.tls_secret_name)
    trigger = {
        "type": "metrics-api",
        "metricType": "Value",
        "metadata": {
            "url": f"{web.name}://{object_name(name, INGESTION)}.{namespace}.svc/figures",
            "valueLocation": "requestsPerSecond",
            "targetValue": str(spec.requests_per_replica),
            # A figure that anybody may know, from a pod whose certificate KEDA has no reason to know.
            **({"unsafeSsl": "true"} if spec.tls_secret_name else {}),
        },
    }
    specification = {
        "pollingInterval": INGESTION_POLLING_SECONDS,
        "minReplicaCount": spec.replicas.min,
        "maxReplicaCount": spec.replicas.max,
        "fallback": {"failureThreshold": FAILURES_UNTIL_FALLBACK, "replicas": spec.replicas.min},
        "triggers": [trigger],
    }
    return [_scaled_object(pipeline, INGESTION, specification, calm_seconds=INGESTION_CALM_SECONDS, paused=False)]


def _scaled_object(
    pipeline: EventPipeline, component: str, specification: dict[str, Any], *, calm_seconds: int, paused: bool
) -> Manifest:
    name = object_name(pipeline.metadata.name, component)
    metadata: dict[str, Any] = {"name": name, "labels": selector_labels(pipeline.metadata.name, component)}
    if paused:
        metadata["annotations"] = {PAUSED_REPLICAS: "0"}
    return {
        "apiVersion": SCALED_OBJECT.api_version,
        "kind": SCALED_OBJECT.kind,
        "metadata": metadata,
        "spec": {
            "scaleTargetRef": {"name": name},
            **specification,
            "advanced": {"horizontalPodAutoscalerConfig": {"behavior": build_behavior(calm_seconds)}},
        },
    }


def build_behavior(calm_seconds: int) -> dict[str, Any]:
    """Up at once, doubling; down only when it has been calm, by halves at the most."""
    return {
        "scaleUp": {
            "stabilizationWindowSeconds": 0,
            "selectPolicy": "Max",
            "policies": [
                {"type": "Percent", "value": 100, "periodSeconds": 15},
                {"type": "Pods", "value": 4, "periodSeconds": 15},
            ],
        },
        "scaleDown": {
            "stabilizationWindowSeconds": calm_seconds,
            "selectPolicy": "Max",
            "policies": [
                {"type": "Percent", "value": 50, "periodSeconds": 30},
                {"type": "Pods", "value": 1, "periodSeconds": 30},
            ],
        },
    }


def _ingestion_by_cpu(pipeline: EventPipeline) -> Manifest:
    spec = pipeline.spec.ingestion
    name = object_name(pipeline.metadata.name, INGESTION)
    cpu = {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": TARGET_CPU_PERCENT}}
    return {
        "apiVersion": AUTOSCALER.api_version,
        "kind": AUTOSCALER.kind,
        "metadata": {"name": name},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name},
            "minReplicas": spec.replicas.min,
            "maxReplicas": spec.replicas.max,
            "metrics": [{"type": "Resource", "resource": cpu}],
            "behavior": build_behavior(INGESTION_CALM_SECONDS),
        },
    }


def _seconds(duration: str) -> int:
    """Whole seconds, as KEDA counts, never fewer than asked for."""
    return math.ceil(parse_duration(duration).total_seconds())
