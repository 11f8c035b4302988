"""Where a pipeline's archive is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cloudscale.errors import ConfigurationError
from cloudscale.pipeline.archive import DEFAULT_DIRECTORY
from cloudscale.settings import variable_name

if TYPE_CHECKING:
    from pathlib import Path

    from cloudscale.pipeline import EventPipeline
    from cloudscale.pipeline.archive import Archive


FOLLOWER: Final = "archive"
"""The archive's name among the followers of the store, which its leases have."""


def archive_of(pipeline: EventPipeline) -> Archive:
    """What the resource says of the archive.

    Raises:
        ConfigurationError: the pipeline has none.
    """
    archive = pipeline.spec.archive
    if archive is None:
        raise ConfigurationError(
            f"pipeline {pipeline.metadata.name} has no archive: add `archive: {{}}` to its spec and start it again"
        )
    return archive


def require_connection(archive: Archive, connection_string: str) -> None:
    """Make sure that an archive in Blob storage can be reached.

    Raises:
        ConfigurationError: there is no connection string.
    """
    if archive.blob is not None and not connection_string:
        raise ConfigurationError(
            f"spec.archive.blob has no connection string: set {variable_name('archive_connection_string')}"
        )


def archive_path(archive: Archive, pipeline_file: Path) -> Path:
    """The archive's directory; a relative one is beside the file of the resource that the services read."""
    return pipeline_file.absolute().parent / (archive.directory or DEFAULT_DIRECTORY)


def pipeline_name(pipeline: EventPipeline) -> str:
    """The name by which an archive knows its pipeline."""
    return f"{pipeline.metadata.namespace}/{pipeline.metadata.name}"
