"""Follows the change feed into an archive: gathers events of a range, and makes files of them by size or interval."""

from __future__ import annotations

import asyncio
import shutil
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, Protocol

import msgspec
import structlog

from cloudscale.archive.engine import require_engine
from cloudscale.archive.manifest import REFUSED, Batch, RefusedFile, container_id
from cloudscale.archive.parquet import sealed, write_files
from cloudscale.archive.spool import Spool, unavailable

if TYPE_CHECKING:
    from datetime import timedelta
    from pathlib import Path

    from cloudscale.archive.manifest import Positions
    from cloudscale.store.batches import Document
    from cloudscale.store.feed_range import FeedRange

log = structlog.get_logger(__name__)

LARGEST_SPOOL_BYTES: Final = 256 * 1024 * 1024
"""Lines of JSON, of which files become a tenth: so many wait on the disk for each range at the most."""


class Place(Protocol):
    """An archive that this process alone writes to."""

    @property
    def positions(self) -> Positions:
        """How far it reaches."""

    def staging(self, name: str) -> Path:
        """A folder on this machine for what is not part of the archive yet, not made."""

    async def files_beside(self, spool: Spool) -> Path:
        """A folder on this machine with the archived files of the tenants and hours that ``spool`` has rows of."""

    async def put(self, batch: Batch, files: Path) -> None:
        """Make the files of a batch, which are below ``files``, and its manifest part of the archive.

        Raises:
            ArchiveUnavailableError: it takes them not now.
        """


class Archiver:
    """A follower that writes to ``place``. A batch is closed after ``interval``, or when it is large."""

    name = "the archive's files"

    def __init__(self, place: Place, *, interval: timedelta, largest_bytes: int = LARGEST_SPOOL_BYTES) -> None:
        require_engine()
        self._place = place
        self._interval_seconds = interval.total_seconds()
        self._largest_bytes = largest_bytes
        self._positions = place.positions
        self._spools: dict[FeedRange, Spool] = {}
        self._made = 0

    def is_full(self, of: FeedRange) -> bool:  # noqa: ARG002 - what waits is on the disk
        """Whether it can take no more."""
        return False

    def take(self, of: FeedRange, events: list[Document]) -> None:
        """Add a page of events to what waits for the range's next file."""
        spool = self._spools.get(of)
        if spool is None:
            container = container_id(_container_of(events[0]))
            self._made += 1
            folder = self._place.staging(f"spool-{self._made}")
            after = self._positions.position(container, of)
            merged = self._positions.is_merged(container, of)
            spool = self._spools[of] = Spool(folder, container=container, of=of, after=after, merged=merged)
        spool.add(events)

    async def keep(self, of: FeedRange, *, at_once: bool, is_at_end: bool) -> bool:
        """Whether nothing of the range waits; files are made of what does, if it is time."""
        spool = self._spools.get(of)
        if spool is None:
            return True
        spool.is_at_end = spool.is_at_end or is_at_end
        if spool.rows + spool.refused:
            is_due = spool.bytes >= self._largest_bytes or time.monotonic() - spool.began >= self._interval_seconds
            if not (at_once or is_due):
                return False
            # Nobody deletes its files while they are read.
            del self._spools[of]
            batch = await self._write(spool)
            self._positions.advance(batch)
            return True
        self.forget(of)
        return True

    def forget(self, of: FeedRange) -> None:
        """Drop what waits of a range."""
        spool = self._spools.pop(of, None)
        if spool is not None:
            shutil.rmtree(spool.folder, ignore_errors=True)

    def start_over(self, of: FeedRange) -> None:
        """Go on with the new container's events beside those of the old: its numbers are kept apart by its id."""

    async def _write(self, spool: Spool) -> Batch:
        try:
            besides = await self._place.files_beside(spool) if spool.merged and spool.rows else None
            batch, files = await asyncio.to_thread(self._convert, spool, besides)
            await self._place.put(batch, files)
        except OSError as error:
            raise unavailable(error) from error
        finally:
            shutil.rmtree(spool.folder, ignore_errors=True)
        log.info("archived", range=batch.range_id, rows=batch.rows, files=len(batch.files), refused=spool.refused)
        return batch

    def _convert(self, spool: Spool, besides: Path | None) -> tuple[Batch, Path]:
        batch = Batch(
            container=spool.container,
            range_id=spool.range.id,
            after=spool.after,
            last=spool.last,
            written_at=datetime.now(UTC).isoformat(timespec="seconds"),
            files=[],
            merged=spool.merged and not spool.is_at_end,
        )
        files = spool.folder / "files"
        files.mkdir()
        if spool.rows:
            written = write_files(spool, files, name=batch.name, besides=besides)
            batch = msgspec.structs.replace(batch, files=written)
        if spool.refused:
            place = files / REFUSED / f"{batch.name}.ndjson"
            place.parent.mkdir()
            spool.refused_path.rename(place)
            refused = RefusedFile(
                path=str(place.relative_to(files)),
                documents=spool.refused,
                bytes=place.stat().st_size,
                sha256=sealed(place),
            )
            batch = msgspec.structs.replace(batch, refused=refused)
        return batch, files


def _container_of(event: Document) -> str:
    """The id that the store has given to the container of an event: ``dbs/…/colls/ID/docs/…``."""
    return str(event["_self"]).split("/")[3]
