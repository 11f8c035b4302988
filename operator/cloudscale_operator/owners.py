"""Who owns what is made for a pipeline: with its owner the garbage collector takes it away."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cloudscale.pipeline import GROUP, KIND, VERSION

if TYPE_CHECKING:
    from cloudscale.pipeline import EventPipeline


def owner_reference(pipeline: EventPipeline) -> dict[str, Any]:
    """The entry of ``metadata.ownerReferences`` that names the pipeline."""
    return {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": KIND,
        "name": pipeline.metadata.name,
        "uid": pipeline.metadata.uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }
