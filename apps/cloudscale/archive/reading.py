"""An archive as whoever reads it has it, wherever it is: a folder with its manifests, and with files when asked for."""

from __future__ import annotations

import asyncio
import tempfile
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from cloudscale.archive.container import open_container, translated
from cloudscale.archive.directory import read_identity
from cloudscale.archive.downloads import Downloads
from cloudscale.archive.identity import IDENTITY, identified
from cloudscale.archive.location import archive_of, archive_path, pipeline_name
from cloudscale.archive.manifest import read_batches
from cloudscale.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from azure.storage.blob.aio import ContainerClient

    from cloudscale.pipeline import EventPipeline
    from cloudscale.settings import Settings


class Reading(Protocol):
    """An archive to read."""

    folder: Path
    where: str
    """As people call its place."""

    async def refresh(self) -> None:
        """Have the manifests that there are now."""

    async def bring(self, paths: Iterable[str]) -> None:
        """Have these files in the folder, unless they are gone."""

    def drop(self, paths: Iterable[str]) -> None:
        """These files are not needed any more."""

    async def names(self) -> set[str]:
        """The paths of all Parquet files there are."""


class DirectoryReading:
    """An archive in a directory: everything is there."""

    def __init__(self, directory: Path) -> None:
        self.folder = directory
        self.where = str(directory)

    async def refresh(self) -> None:
        """Nothing to do."""

    async def bring(self, paths: Iterable[str]) -> None:
        """Nothing to do."""

    def drop(self, paths: Iterable[str]) -> None:
        """Nothing to do: it is the archive itself."""

    async def names(self) -> set[str]:
        """The paths of all Parquet files there are."""
        return {str(path.relative_to(self.folder)) for path in self.folder.glob("tenant=*/**/*.parquet")}


class BlobReading:
    """An archive in Blob storage, whose files are brought to ``folder``."""

    def __init__(self, container: ContainerClient, folder: Path) -> None:
        self.folder = folder
        self.where = container.url.split("?", 1)[0]
        self._container = container
        self._files = Downloads(container, folder)

    async def refresh(self) -> None:
        """Bring the manifests that are new."""
        await self._files.bring_manifests()

    async def bring(self, paths: Iterable[str]) -> None:
        """Bring files."""
        await self._files.bring(paths)

    def drop(self, paths: Iterable[str]) -> None:
        """Delete copies."""
        self._files.drop(paths)

    async def names(self) -> set[str]:
        """The paths of all Parquet files there are."""
        with translated("list the archive"):
            found = self._container.list_blob_names(name_starts_with="tenant=")
            return {name async for name in found if name.endswith(".parquet")}

    async def identify(self, pipeline: str) -> None:
        """Make sure that it is the archive of ``pipeline``.

        Raises:
            ConfigurationError: it is not, or there is none.
        """
        from azure.core.exceptions import ResourceNotFoundError  # noqa: PLC0415 - large, and needed by few commands

        with translated("read the archive"):
            try:
                content = await self._files.read(IDENTITY)
            except ResourceNotFoundError:
                raise ConfigurationError(
                    f"there is no archive in {self.where}: nothing was archived there yet"
                ) from None
        identified(content, where=self.where, pipeline=pipeline)


@asynccontextmanager
async def open_reading(pipeline: EventPipeline, settings: Settings) -> AsyncIterator[Reading]:
    """The archive of a pipeline. What is brought from elsewhere is in a folder that goes with the context.

    Raises:
        ConfigurationError: the pipeline has none, or nothing was archived yet.
        ArchiveUnavailableError, CredentialError: the storage does not give it.
    """
    archive = archive_of(pipeline)
    name = pipeline_name(pipeline)
    if archive.blob is None:
        path = archive_path(archive, Path(settings.pipeline_file))
        read_identity(path, pipeline=name)
        yield DirectoryReading(path)
        return
    with tempfile.TemporaryDirectory(prefix="cloudscale-archive-") as folder:
        async with open_container(archive, settings) as container:
            reading = BlobReading(container, Path(folder))
            await reading.identify(name)
            await reading.refresh()
            yield reading


async def bring_all(reading: Reading, *, largest_bytes: int, tenant_id: str | None = None) -> None:
    """Have every file of an archive in its folder, or a tenant's, if they are not too large together.

    Raises:
        ConfigurationError: they are larger than ``largest_bytes``.
    """
    batches = await asyncio.to_thread(lambda: list(read_batches(reading.folder)))
    files = [file for batch in batches for file in batch.files if tenant_id in (None, file.tenant_id)]
    size = sum(file.bytes for file in files)
    if size > largest_bytes and not isinstance(reading, DirectoryReading):
        raise ConfigurationError(
            f"the archive's files are {size:,} bytes, and --disk allows {largest_bytes:,} to be brought here: allow "
            "more, or ask them where they are with a program of your own"
        )
    await reading.bring(file.path for file in files)
