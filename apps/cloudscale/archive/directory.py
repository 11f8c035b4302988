"""An archive in a directory: who writes there, and how a batch of files becomes part of it.

The files of a batch are written aside, then the manifest that names them; then each file is moved to its place, and the
manifest is made valid. Whoever opens the archive after a crash goes on from there: a batch that has a manifest is moved
to its end, one that has none never was. So a file in its place is whole, and no event is in two of them.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import shutil
from typing import TYPE_CHECKING, Final, Self

import msgspec

from cloudscale.archive.identity import IDENTITY, identified, new_identity
from cloudscale.archive.manifest import (
    COMMITTED,
    MANIFEST,
    PENDING,
    Batch,
    BrokenManifestError,
    Positions,
    manifest_path,
    read_batch,
)
from cloudscale.archive.parquet import sync
from cloudscale.archive.spool import unavailable
from cloudscale.errors import ConfigurationError
from cloudscale.private_files import PRIVATE_DIRECTORY, PRIVATE_FILE

if TYPE_CHECKING:
    from pathlib import Path

    from cloudscale.archive.spool import Spool

STAGING: Final = "_staging"
_LOCK: Final = ".lock"


class ArchiveDirectory:
    """An archive that this process alone writes to, as a context manager.

    Raises:
        ConfigurationError: the directory cannot be made, is no archive of ``pipeline``, or another process has it.
        BrokenManifestError: a batch of an earlier process cannot be finished.
    """

    def __init__(self, path: Path, *, pipeline: str) -> None:
        self.path = path
        self._pipeline = pipeline
        self._lock: int | None = None

    def __enter__(self) -> Self:
        try:
            self.path.mkdir(mode=PRIVATE_DIRECTORY, parents=True, exist_ok=True)
            self._lock = os.open(self.path / _LOCK, os.O_RDWR | os.O_CREAT, PRIVATE_FILE)
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.__exit__()
            raise ConfigurationError(
                f"another process archives to {self.path}: name another spec.archive.directory"
            ) from None
        except OSError as error:
            raise ConfigurationError(
                f"{self.path} cannot hold the archive ({error.strerror}): name another spec.archive.directory"
            ) from None
        try:
            self._identify()
            self._recover()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    @property
    def positions(self) -> Positions:
        """How far the archive reaches."""
        return Positions.of(self.path)

    def staging(self, name: str) -> Path:
        """A folder for what is not part of the archive yet, not made."""
        return self.path / STAGING / name

    async def files_beside(self, spool: Spool) -> Path:  # noqa: ARG002 - all files are here
        """The archive itself."""
        return self.path

    async def put(self, batch: Batch, files: Path) -> None:
        """:meth:`commit`, beside the loop."""
        await asyncio.to_thread(self.commit, batch, files)

    def commit(self, batch: Batch, files: Path) -> None:
        """Make the files of a batch, which are below ``files`` and on the disk, and its manifest part of the archive.

        Raises:
            ArchiveUnavailableError: the disk does not take them; opening the archive again finishes or drops the batch.
        """
        path = manifest_path(self.path, batch, suffix=PENDING)
        try:
            path.parent.mkdir(mode=PRIVATE_DIRECTORY, parents=True, exist_ok=True)
            settled = files.parent / f"{batch.name}.manifest"
            with settled.open("wb") as file:
                file.write(msgspec.json.format(msgspec.json.encode(batch), indent=1))
                file.flush()
                os.fsync(file.fileno())
            # Where the files wait has a name that follows from the batch's, for whoever finishes it.
            waiting = self.staging(batch.name)
            shutil.rmtree(waiting, ignore_errors=True)
            waiting.mkdir(mode=PRIVATE_DIRECTORY)
            for number, relative in enumerate(batch.paths):
                (files / relative).rename(waiting / str(number))
            sync(waiting)
            sync(waiting.parent)
            settled.rename(path)
            sync(path.parent)
            self._finish(path, batch)
        except OSError as error:
            raise unavailable(error) from error

    def _finish(self, pending: Path, batch: Batch) -> None:
        waiting = self.staging(batch.name)
        folders: set[Path] = set()
        for number, relative in enumerate(batch.paths):
            place = self.path / relative
            folders |= self._make(place.parent)
            try:
                (waiting / str(number)).rename(place)
            except FileNotFoundError:
                if not place.exists():
                    raise BrokenManifestError(
                        f"{pending} names {place}, which is gone: restore it from a backup"
                    ) from None
        for folder in folders:
            sync(folder)
        pending.rename(pending.with_suffix(COMMITTED))
        sync(pending.parent)
        shutil.rmtree(waiting, ignore_errors=True)

    def _make(self, folder: Path) -> set[Path]:
        """Make a folder; those in which something is new, with the one that is meant."""
        changed = {folder}
        while not folder.exists():
            changed.add(folder := folder.parent)
        max(changed, key=lambda each: len(each.parts)).mkdir(mode=PRIVATE_DIRECTORY, parents=True, exist_ok=True)
        return changed

    def _recover(self) -> None:
        for pending in sorted((self.path / MANIFEST).glob(f"*/*/*{PENDING}")):
            self._finish(pending, read_batch(pending))
        shutil.rmtree(self.path / STAGING, ignore_errors=True)

    def _identify(self) -> None:
        path = self.path / IDENTITY
        if path.exists():
            read_identity(self.path, pipeline=self._pipeline)
            return
        if strange := sorted(each.name for each in self.path.iterdir() if each.name != _LOCK):
            raise ConfigurationError(
                f"{self.path} is no archive and holds {strange[0]}: name an empty spec.archive.directory"
            )
        temporary = path.with_suffix(".new")
        temporary.write_bytes(new_identity(self._pipeline))
        temporary.rename(path)
        sync(self.path)


def read_identity(directory: Path, *, pipeline: str) -> None:
    """Make sure that a directory is the archive of a pipeline.

    Raises:
        ConfigurationError: it is no archive, or not of this pipeline, or of a later version.
    """
    path = directory / IDENTITY
    try:
        identified(path.read_bytes(), where=str(directory), pipeline=pipeline)
    except FileNotFoundError:
        raise ConfigurationError(f"there is no archive in {directory}: nothing was archived there yet") from None
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read ({error}): restore it from a backup") from None
