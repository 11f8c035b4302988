"""Whether anything can still come into the queue of a pipeline that is being deleted, and whether it can be emptied."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cloudscale_operator.children import ChildKey
from cloudscale_operator.kinds import DEPLOYMENT, POD
from cloudscale_operator.names import INGESTION, WORKER, object_name, selector_labels

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cloudscale_operator.api import KubernetesApi
    from cloudscale_operator.children import PipelineKey
    from cloudscale_operator.credentials import Credentials
    from cloudscale_operator.kinds import Manifest


async def intake_is_off(api: KubernetesApi, key: PipelineKey, live: Mapping[ChildKey, Manifest]) -> bool:
    """Whether the last ingestion pod is gone.

    Raises:
        ApiRefusalError, BackendUnavailableError: the pods cannot be listed.
    """
    deployment = live.get(ChildKey(DEPLOYMENT.kind, object_name(key.name, INGESTION)))
    if deployment is not None:
        status, metadata = deployment.get("status", {}), deployment["metadata"]
        seen = status.get("observedGeneration", 0) >= metadata.get("generation", 0)
        if not seen or deployment["spec"].get("replicas") != 0 or status.get("replicas", 0):
            return False
    # Pods on their way out are no replicas any more, and still take events.
    labels = ",".join(f"{label}={value}" for label, value in selector_labels(key.name, INGESTION).items())
    pods = await api.read_all(POD, namespace=key.namespace, selector=labels)
    return all(pod.get("status", {}).get("phase") in ("Succeeded", "Failed") for pod in pods)


async def undrainable_reason(
    api: KubernetesApi, key: PipelineKey, live: Mapping[ChildKey, Manifest], credentials: Credentials
) -> str:
    """Why the queue cannot be emptied at all, empty if it may be.

    Without its Secret the depth cannot be read, but workers that run have read the Secret before it went: they go on,
    until the deadline.

    Raises:
        ApiRefusalError, BackendUnavailableError: the namespace cannot be read.
    """
    worker = live.get(ChildKey(DEPLOYMENT.kind, object_name(key.name, WORKER)), {})
    if credentials.queue_missing and not worker.get("status", {}).get("availableReplicas"):
        return f"the queue was not emptied: {credentials.queue_missing}"
    namespace = await api.read(f"/api/v1/namespaces/{key.namespace}")
    if namespace is None or namespace.get("status", {}).get("phase") == "Terminating":
        return "the queue was not emptied: the namespace is being deleted"
    return ""
