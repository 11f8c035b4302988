"""Opens a pipeline's archive for the one process that writes to it."""

from __future__ import annotations

import socket
import tempfile
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from cloudscale.archive.blobs import BlobArchive
from cloudscale.archive.container import open_container
from cloudscale.archive.directory import ArchiveDirectory
from cloudscale.archive.location import archive_of, archive_path, pipeline_name

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from cloudscale.archive.archiver import Place
    from cloudscale.pipeline import EventPipeline
    from cloudscale.settings import Settings


@asynccontextmanager
async def open_place(pipeline: EventPipeline, settings: Settings) -> AsyncIterator[Place]:
    """The archive of a pipeline, to write to. What waits for a file of Blob storage is in the temporary directory.

    Raises:
        ConfigurationError: it has none, or its place cannot be used.
        ArchiveUnavailableError, CredentialError: the storage does not answer, or another process has the archive.
    """
    archive = archive_of(pipeline)
    name = pipeline_name(pipeline)
    if archive.blob is None:
        with ArchiveDirectory(archive_path(archive, Path(settings.pipeline_file)), pipeline=name) as directory:
            yield directory
        return
    # A pod starts a container again only when the one before has ended, and so does `cloudscale run`.
    holder = f"{socket.gethostname()}:{settings.pipeline_file}"
    with tempfile.TemporaryDirectory(prefix="cloudscale-archive-") as scratch:
        async with (
            open_container(archive, settings) as container,
            BlobArchive(container, Path(scratch) / "work", pipeline=name, holder=holder) as blobs,
        ):
            yield blobs
