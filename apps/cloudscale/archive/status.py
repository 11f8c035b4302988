"""How an archive stands: how far behind the store it is, and what it holds."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec

from cloudscale.archive.manifest import read_batches

if TYPE_CHECKING:
    from cloudscale.archive.reading import Reading


class Status(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """The figures of an archive."""

    archive: str
    """Its place."""
    up_to_date_at: datetime | None
    """When it last had all that was stored; None if that is not known."""
    lag_seconds: float | None
    """Since then."""
    files: int
    rows: int
    bytes: int
    refused: int
    """Documents put aside, which could be no rows."""
    last_written_at: str | None


def status_of(reading: Reading, *, up_to_date_at: datetime | None) -> Status:
    """Read the manifests of an archive.

    Raises:
        BrokenManifestError: one of them cannot be read.
    """
    files = rows = size = refused = 0
    last: str | None = None
    for batch in read_batches(reading.folder):
        files += len(batch.files)
        rows += batch.rows
        size += sum(file.bytes for file in batch.files)
        refused += 0 if batch.refused is None else batch.refused.documents
        last = max(last or batch.written_at, batch.written_at)
    lag = None if up_to_date_at is None else (datetime.now(UTC) - up_to_date_at).total_seconds()
    return Status(
        archive=reading.where,
        up_to_date_at=up_to_date_at,
        lag_seconds=lag,
        files=files,
        rows=rows,
        bytes=size,
        refused=refused,
        last_written_at=last,
    )
