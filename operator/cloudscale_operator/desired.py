"""Everything that should exist for a pipeline."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from cloudscale_operator.kinds import KINDS, Manifest, kind_of
from cloudscale_operator.manifests.configuration import build_configuration
from cloudscale_operator.manifests.dashboard import build_dashboard
from cloudscale_operator.manifests.disruption import build_disruption_budgets
from cloudscale_operator.manifests.exposure import build_exposure
from cloudscale_operator.manifests.follower import build_follower, build_outlets
from cloudscale_operator.manifests.identity import build_identity
from cloudscale_operator.manifests.ingestion import build_ingestion
from cloudscale_operator.manifests.monitoring import build_monitoring
from cloudscale_operator.manifests.network import build_network_policies
from cloudscale_operator.manifests.scaling import build_scaling
from cloudscale_operator.manifests.worker import build_worker
from cloudscale_operator.names import MANIFEST_HASH, PIPELINE_UID, common_labels
from cloudscale_operator.owners import owner_reference

if TYPE_CHECKING:
    from cloudscale.pipeline import EventPipeline
    from cloudscale_operator.context import Context


def desired_objects(pipeline: EventPipeline, context: Context) -> list[Manifest]:
    """The complete manifests, owned by the pipeline unless it is on its way out, in the order of their applying."""
    built = [
        build_configuration(pipeline),
        *build_identity(pipeline),
        *build_network_policies(pipeline, context),
        *build_disruption_budgets(pipeline),
        *build_ingestion(pipeline, context),
        *build_worker(pipeline, context),
        *build_follower(pipeline, context),
        *build_outlets(pipeline, context),
        *build_dashboard(pipeline, context),
        *build_scaling(pipeline, context),
        *build_exposure(pipeline, context),
        *build_monitoring(pipeline, context),
    ]
    return sorted(
        (_owned(manifest, pipeline, context) for manifest in built), key=lambda item: KINDS.index(kind_of(item))
    )


def _owned(manifest: Manifest, pipeline: EventPipeline, context: Context) -> Manifest:
    metadata = manifest["metadata"]
    uid = pipeline.metadata.uid
    digest = hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()[:16]
    completed: dict[str, Any] = {
        **metadata,
        "annotations": {**metadata.get("annotations", {}), MANIFEST_HASH: digest},
        "namespace": pipeline.metadata.namespace,
        "labels": {**common_labels(pipeline.metadata.name), **metadata.get("labels", {})},
    }
    if context.draining:
        # In a foreground deletion the garbage collector deletes what the pipeline owns before the pipeline itself, and
        # so would take the workers away while they empty the queue.
        completed["annotations"][PIPELINE_UID] = uid
    else:
        completed["ownerReferences"] = [owner_reference(pipeline)]
    return {**manifest, "metadata": completed}
