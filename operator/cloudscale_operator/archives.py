"""Archives are written by ``cloudscale run``: a cluster has nobody who would write one, so none is promised there."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cloudscale.pipeline import EventPipeline


def refusal(pipeline: EventPipeline) -> str:
    """Why a pipeline may not have what it asks for, empty if it may."""
    if pipeline.spec.archive is None:
        return ""
    return (
        "spec.archive names a directory, and archives are written by `cloudscale run` only until now: take it out, the "
        "events are kept in the store for spec.store.timeToLive"
    )
