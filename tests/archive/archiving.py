"""An archive of a store, made in passes that the test asks for, and read by another reader than the one that writes."""

from __future__ import annotations

from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pyarrow.parquet

from cloudscale.archive.archiver import LARGEST_SPOOL_BYTES, Archiver
from cloudscale.archive.directory import ArchiveDirectory
from cloudscale.archive.location import FOLLOWER
from cloudscale.store.feed import EventFeed
from cloudscale.store.leases import LeaseStore
from cloudscale.store.passes import Passes
from cloudscale.store.ranges import OwnedRanges

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from cloudscale.pipeline import Store
    from cloudscale.settings import Settings
    from cloudscale.store.events import EventStore

PIPELINE = "default/shop"
LONG = timedelta(hours=1)


@asynccontextmanager
async def archiving(
    store: EventStore,
    spec: Store,
    settings: Settings,
    path: Path,
    *,
    interval: timedelta = LONG,
    largest_bytes: int = LARGEST_SPOOL_BYTES,
) -> AsyncIterator[Passes]:
    """A follower of the store that archives into ``path``."""
    with ArchiveDirectory(path, pipeline=PIPELINE) as directory:
        async with EventFeed(spec, settings) as feed:
            ranges = OwnedRanges(feed, LeaseStore(store, follower=FOLLOWER), owner=FOLLOWER)
            yield Passes(feed, ranges, Archiver(directory, interval=interval, largest_bytes=largest_bytes))


async def archive_all(passes: Passes) -> None:
    """Make passes until all that is stored is in files."""
    while await passes.run_pass(at_once=True):
        pass


def events(first: int, count: int, **fields: Any) -> list[dict[str, Any]]:
    """Documents as the workers store them, over several tenants, partitions and hours."""
    return [
        {
            "id": f"e{number}",
            "eventId": f"e{number}",
            "partitionKey": f"t{number % 3}:2024-{number % 12 + 1:02d}",
            "tenantId": f"t{number % 3}",
            "userId": f"u{number % 5}",
            "eventType": "purchase",
            "actionName": "checkout",
            "amount": number / 4,
            "currency": "EUR",
            "createdAt": "2024-05-01T10:00:00.000000Z",
            "receivedAt": f"2026-11-29T{number % 2:02d}:30:00.{number:06d}Z",
            "payloadHash": "h",
            "acceptance": "a",
            "properties": {"quantity": number},
        }
        | fields
        for number in range(first, first + count)
    ]


def files_of(path: Path) -> list[Path]:
    """The Parquet files of an archive."""
    return sorted(path.glob("tenant=*/**/*.parquet"))


def rows_of(path: Path) -> list[dict[str, Any]]:
    """The rows of an archive as pyarrow reads them."""
    return [row for file in files_of(path) for row in pyarrow.parquet.ParquetFile(file).read().to_pylist()]


def ids_of(path: Path) -> list[str]:
    """The ids of all rows, as often as they are there."""
    return sorted((row["eventId"] for row in rows_of(path)), key=lambda each: int(each[1:]))
