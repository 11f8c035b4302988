"""Where a pipeline's archive is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cloudscale.errors import ConfigurationError

if TYPE_CHECKING:
    from pathlib import Path

    from cloudscale.pipeline import EventPipeline


FOLLOWER: Final = "archive"
"""The archive's name among the followers of the store, which its leases have."""


def archive_path(pipeline: EventPipeline, pipeline_file: Path) -> Path:
    """The archive's directory; a relative one is beside the file of the resource that the services read.

    Raises:
        ConfigurationError: the pipeline has no archive.
    """
    archive = pipeline.spec.archive
    if archive is None:
        raise ConfigurationError(
            f"pipeline {pipeline.metadata.name} has no archive: add `archive: {{}}` to its spec and start it again"
        )
    return pipeline_file.absolute().parent / archive.directory


def pipeline_name(pipeline: EventPipeline) -> str:
    """The name by which an archive knows its pipeline."""
    return f"{pipeline.metadata.namespace}/{pipeline.metadata.name}"
