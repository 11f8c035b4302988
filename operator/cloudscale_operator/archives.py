"""An archive in a directory is for one machine: pods have no disk that stays, so none is promised there."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cloudscale.pipeline import EventPipeline


def refusal(pipeline: EventPipeline) -> str:
    """Why a pipeline may not have what it asks for, empty if it may."""
    if pipeline.spec.archive is None or pipeline.spec.archive.blob is not None:
        return ""
    return (
        "spec.archive is in a directory, which a pod loses when it ends: name Blob storage in spec.archive.blob, or "
        "take the archive out, and the events are kept in the store for spec.store.timeToLive"
    )
