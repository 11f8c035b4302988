"""Files of an archive in Blob storage, brought to a folder here: DuckDB reads there, and never the network."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from cloudscale.archive.container import translated
from cloudscale.archive.manifest import COMMITTED, MANIFEST, BrokenManifestError
from cloudscale.private_files import PRIVATE_DIRECTORY, open_private

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from azure.storage.blob.aio import ContainerClient


class Downloads:
    """What was brought of a container to ``folder``, by the same names."""

    def __init__(self, container: ContainerClient, folder: Path) -> None:
        self.folder = folder
        self._container = container

    async def read(self, name: str) -> bytes:
        """A small blob. What the SDK raises is the caller's."""
        stream = await self._container.download_blob(name)
        return bytes(await stream.readall())

    async def bring_manifests(self) -> None:
        """Bring the manifests that are not here yet; none ever changes.

        Raises:
            ArchiveUnavailableError, CredentialError: the storage does not give them.
        """
        with translated("read the archive's manifests"):
            async for name in self._container.list_blob_names(name_starts_with=f"{MANIFEST}/"):
                if name.endswith(COMMITTED) and not self._place(name).exists():
                    await self._bring(name)

    async def bring(self, names: Iterable[str]) -> None:
        """Bring files. One that is gone is left out.

        Raises:
            ArchiveUnavailableError, CredentialError: the storage does not give them.
        """
        from azure.core.exceptions import ResourceNotFoundError  # noqa: PLC0415 - large, and needed by few processes

        with translated("read the archive"):
            for name in names:
                try:
                    await self._bring(name)
                except ResourceNotFoundError:
                    continue

    def drop(self, names: Iterable[str]) -> None:
        """Delete files that were brought."""
        for name in names:
            self._place(name).unlink(missing_ok=True)

    def drop_all(self) -> None:
        """Delete all files but the manifests."""
        for folder in self.folder.glob("tenant=*"):
            shutil.rmtree(folder)

    def _place(self, name: str) -> Path:
        """Where a blob's copy is. Names come from the storage, and must not lead out of the folder."""
        parts = PurePosixPath(name).parts
        if name.startswith("/") or ".." in parts or "\0" in name:
            raise BrokenManifestError(f"the archive names {name!r}, which is no file of an archive")
        return self.folder.joinpath(*parts)

    async def _bring(self, name: str) -> None:
        place = self._place(name)
        stream = await self._container.download_blob(name)
        place.parent.mkdir(mode=PRIVATE_DIRECTORY, parents=True, exist_ok=True)
        # Beside its place, so that a copy that was cut off is never taken for a file.
        part = place.with_name(place.name + ".part")
        with open_private(part, "wb") as file:
            async for block in stream.chunks():
                await asyncio.to_thread(file.write, block)
        part.rename(place)


async def is_there(container: ContainerClient, name: str) -> bool:
    """Whether a blob exists. What the SDK raises is the caller's."""
    return bool(await container.get_blob_client(name).exists())
