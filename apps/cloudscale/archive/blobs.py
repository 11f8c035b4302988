"""An archive in a container of Blob storage: who writes there, and how a batch of files becomes part of it.

The names are those of a directory. A batch is announced by a pending manifest, then its files are put, each of which
appears whole; the manifest makes them part of the archive. So a file that no manifest names is none of the archive's:
whoever opens it after a crash deletes what the pending ones name. One process writes, which has the lease.
"""

from __future__ import annotations

import asyncio
import shutil
from contextlib import AsyncExitStack, suppress
from typing import TYPE_CHECKING, Final, Self

import msgspec

from cloudscale.archive.container import BLOCK_BYTES, translated
from cloudscale.archive.downloads import Downloads, is_there
from cloudscale.archive.identity import IDENTITY, identified, new_identity
from cloudscale.archive.manifest import COMMITTED, MANIFEST, PENDING, Batch, Positions, read_batches
from cloudscale.archive.parquet import hours_of
from cloudscale.archive.writer_lease import ArchiveTakenError, WriterLease

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from azure.storage.blob.aio import ContainerClient

    from cloudscale.archive.spool import Spool

_DIGEST: Final = "sha256"


class BlobArchive:
    """An archive that this process alone writes to, as a context manager. ``scratch`` is a folder of its own.

    ``holder`` is the same for a process and for the one that comes after its end, which need not wait then.

    Raises:
        ConfigurationError: the container has the archive of another pipeline.
        ArchiveUnavailableError, CredentialError: the storage does not answer, or another process has the archive.
    """

    def __init__(self, container: ContainerClient, scratch: Path, *, pipeline: str, holder: str) -> None:
        self._container = container
        self._scratch = scratch
        self._pipeline = pipeline
        self._files = Downloads(container, scratch / "archive")
        self._exits = AsyncExitStack()
        self._lease = WriterLease(container.get_blob_client(IDENTITY), holder=holder)
        self._positions = Positions({})

    async def __aenter__(self) -> Self:
        shutil.rmtree(self._scratch, ignore_errors=True)
        self._scratch.mkdir(parents=True)
        await self._identify()
        async with AsyncExitStack() as entered:
            await entered.enter_async_context(self._lease)
            await self._recover()
            await self._files.bring_manifests()
            self._positions = Positions.of(self._files.folder)
            self._exits = entered.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._exits.aclose()
        await asyncio.to_thread(shutil.rmtree, self._scratch, ignore_errors=True)

    @property
    def positions(self) -> Positions:
        """How far the archive reached when it was opened."""
        return self._positions

    def staging(self, name: str) -> Path:
        """A folder for what is not part of the archive yet, not made."""
        return self._scratch / name

    async def files_beside(self, spool: Spool) -> Path:
        """A folder with the archived files of the tenants and hours that ``spool`` has rows of."""
        await self._files.bring_manifests()
        hours = await asyncio.to_thread(hours_of, spool)
        batches = await asyncio.to_thread(lambda: list(read_batches(self._files.folder)))
        named = [file.path for batch in batches for file in batch.files if (file.tenant_id, file.hour) in hours]
        self._files.drop_all()
        await self._files.bring(named)
        return self._files.folder

    async def put(self, batch: Batch, files: Path) -> None:
        """Make the files of a batch, which are below ``files``, and its manifest part of the archive.

        Raises:
            ArchiveUnavailableError, CredentialError: the storage does not take them; the same batch can be put again.
            ArchiveTakenError: another process writes to it.
        """
        pending, committed = _name(batch, PENDING), _name(batch, COMMITTED)
        content = msgspec.json.format(msgspec.json.encode(batch), indent=1)
        digests = {file.path: file.sha256 for file in batch.files}
        if batch.refused is not None:
            digests[batch.refused.path] = batch.refused.sha256
        with translated(f"archive {batch.name}"):
            await self._lease.require()
            # It may be of an attempt that failed, whose files had other names.
            await self._roll_back(pending)
            await self._container.upload_blob(pending, content)
            for path in batch.paths:
                await self._put_file(path, files / path, digest=digests[path])
            await self._lease.require()
            await self._commit(committed, content)
            await self._container.delete_blob(pending)

    async def _put_file(self, name: str, file: Path, *, digest: str) -> None:
        from azure.core.exceptions import ResourceExistsError  # noqa: PLC0415 - large, and needed by few processes

        blob = self._container.get_blob_client(name)
        size = (await asyncio.to_thread(file.stat)).st_size
        try:
            await blob.upload_blob(_blocks(file), length=size, metadata={_DIGEST: digest})
        except ResourceExistsError:
            there = await blob.get_blob_properties()
            if there.size == size and (there.metadata or {}).get(_DIGEST) == digest:
                # The answer to an upload that went well was lost.
                return
            await self._lease.require()
            await blob.upload_blob(_blocks(file), length=size, metadata={_DIGEST: digest}, overwrite=True)

    async def _commit(self, name: str, content: bytes) -> None:
        from azure.core.exceptions import ResourceExistsError  # noqa: PLC0415 - as above

        try:
            await self._container.upload_blob(name, content)
        except ResourceExistsError:
            if await self._files.read(name) != content:
                raise ArchiveTakenError(f"{name} is there, and not of this process: another one archives") from None

    async def _recover(self) -> None:
        """End what an earlier process has begun: a batch with a manifest is there, one without never was."""
        with translated("open the archive"):
            # Before any is deleted, since a page of names goes on after the last name.
            names = [name async for name in self._container.list_blob_names(name_starts_with=f"{MANIFEST}/")]
            for name in names:
                if name.endswith(PENDING):
                    await self._roll_back(name)

    async def _roll_back(self, pending: str) -> None:
        from azure.core.exceptions import ResourceNotFoundError  # noqa: PLC0415 - as above

        try:
            batch = msgspec.json.decode(await self._files.read(pending), type=Batch)
        except ResourceNotFoundError:
            return
        except (msgspec.DecodeError, UnicodeDecodeError):
            batch = None
        if batch is not None and not await is_there(self._container, pending.removesuffix(PENDING) + COMMITTED):
            for path in batch.paths:
                try:
                    await self._container.delete_blob(path)
                except ResourceNotFoundError:
                    continue
        await self._container.delete_blob(pending)

    async def _identify(self) -> None:
        from azure.core.exceptions import ResourceExistsError  # noqa: PLC0415 - as above

        with translated("open the archive"):
            if not await self._container.exists():
                with suppress(ResourceExistsError):
                    await self._container.create_container()
            with suppress(ResourceExistsError):
                await self._container.upload_blob(IDENTITY, new_identity(self._pipeline))
            content = await self._files.read(IDENTITY)
        identified(content, where=f"container {self._container.container_name}", pipeline=self._pipeline)


def _name(batch: Batch, suffix: str) -> str:
    folder = f"{MANIFEST}/{batch.container}/{batch.range_id}"
    return f"{folder}/{batch.after + 1:015d}{suffix}"


async def _blocks(file: Path) -> AsyncIterator[bytes]:
    # The SDK leaves an iterator where it is when an upload fails, so none may keep the file open.
    at = 0
    while block := await asyncio.to_thread(_block, file, at):
        yield block
        at += len(block)


def _block(file: Path, at: int) -> bytes:
    with file.open("rb") as opened:
        opened.seek(at)
        return opened.read(BLOCK_BYTES)
