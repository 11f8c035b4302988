"""The proof that the archive has what the store has: for each tenant and hour, and each file as it was written.

The archive's numbers are read from its files, after each was compared with the checksum in its manifest. The store is
asked twice: for all it has, and for what it had when the archive was last up to date. What is stored since then may not
be in the archive yet; what was stored before and is not there is missing. The archive keeps what the store's time to
live has deleted, so it may have more in hours that are as old.
"""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

import msgspec

from cloudscale.archive.engine import open_engine, quoted
from cloudscale.archive.manifest import read_batches
from cloudscale.archive.parquet import digest_of
from cloudscale.units import parse_duration

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from cloudscale.archive.manifest import ArchivedFile, Batch
    from cloudscale.archive.reading import Reading
    from cloudscale.pipeline import EventPipeline
    from cloudscale.store.events import EventStore
    from cloudscale.store.leases import LeaseStore

CLOCKS_DIFFER: Final = timedelta(seconds=5)
"""The clocks of store and follower may be so far apart."""

MEMORY: Final = "512MB"
Hour = tuple[str, str]
"""A tenant id and an hour of ``receivedAt`` as ``yyyy-MM-ddTHH``."""


class ArchivedHour(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """One tenant and hour."""

    tenant_id: str
    hour: str
    stored: int
    archived: int
    missing: int
    """Stored before the archive was last up to date, and not in it."""
    doubled: int
    """Rows that are there more than once."""
    expired: bool
    """The hour is as old as the store's time to live, so the archive may have more."""

    @property
    def waiting(self) -> int:
        """Stored and not archived, which is no fault yet."""
        return max(0, self.stored - self.archived - self.missing)

    @property
    def surplus(self) -> int:
        """Archived and not stored any more, although they are not that old."""
        return 0 if self.expired else max(0, self.archived - self.stored)


class Verdict(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """What a verification found."""

    at: str
    hours: list[ArchivedHour]
    refused: int
    """Documents put aside, which could be no rows."""
    broken: list[str]
    """Files that are not as they were written, or are gone."""
    unknown: list[str]
    """Files that no manifest names."""

    def total(self, name: str) -> int:
        """Sum of one field of the hours."""
        return sum(getattr(hour, name) for hour in self.hours)

    @property
    def is_wrong(self) -> bool:
        """Whether something is missing, doubled, or not as it was written."""
        return bool(self.total("missing") > self.refused or self.total("doubled") or self.broken or self.unknown)

    @property
    def is_proven(self) -> bool:
        """Whether the archive has what the store has, each event once."""
        differs = self.total("waiting") + self.total("missing") > self.refused or self.total("surplus")
        return not (self.is_wrong or differs)


async def verify(pipeline: EventPipeline, reading: Reading, *, store: EventStore, leases: LeaseStore) -> Verdict:
    """Compare the archive with the store.

    Raises:
        BackendError: the store cannot be read, or a manifest.
    """
    reached = await up_to_date_at(leases)
    now = datetime.now(UTC)
    before = Counter[Hour]() if reached is None else await stored_hours(store, until=reached - CLOCKS_DIFFER)
    await reading.refresh()
    batches = list(read_batches(reading.folder))
    stored = await stored_hours(store)
    found = await read_files(reading, batches)
    lives = parse_duration(pipeline.spec.store.time_to_live)
    # An hour's first event may be at its beginning, and goes that long before the last.
    oldest = (now - lives).strftime("%Y-%m-%dT%H") if lives else ""
    hours = [
        ArchivedHour(
            tenant_id=tenant_id,
            hour=hour,
            stored=stored[tenant_id, hour],
            archived=(archived := found.rows[tenant_id, hour]),
            missing=max(0, before[tenant_id, hour] - archived),
            doubled=archived - found.distinct[tenant_id, hour],
            expired=hour <= oldest,
        )
        for tenant_id, hour in sorted({*stored, *found.rows}, key=lambda key: (key[1], key[0]))
    ]
    refused = sum(batch.refused.documents for batch in batches if batch.refused is not None)
    return Verdict(at=now.isoformat(), hours=hours, refused=refused, broken=found.broken, unknown=found.unknown)


async def up_to_date_at(leases: LeaseStore) -> datetime | None:
    """When the archive last had everything that was stored; None if it never was so far."""
    checked = [lease.checked_at for lease in await leases.all()]
    known = [moment for moment in checked if moment is not None]
    return min(known) if known and len(known) == len(checked) else None


async def stored_hours(store: EventStore, *, until: datetime | None = None) -> Counter[Hour]:
    """Stored events of each tenant and hour, of those written before ``until`` if it is given."""
    condition, parameters = ("", {}) if until is None else (" WHERE c._ts < @until", {"@until": int(until.timestamp())})
    rows = await store.query_ranges(
        f"SELECT c.tenantId, LEFT(c.receivedAt, 13) AS hour, COUNT(1) AS events FROM c{condition} "  # noqa: S608 - names
        "GROUP BY c.tenantId, LEFT(c.receivedAt, 13)",
        parameters,
    )
    counts: Counter[Hour] = Counter()
    for row in rows:
        counts[str(row.get("tenantId", "")), str(row.get("hour", ""))] += row["events"]
    return counts


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """What is in an archive's files: rows and different rows of each hour, and files that are not as they should be."""

    rows: Counter[Hour]
    distinct: Counter[Hour]
    broken: list[str]
    unknown: list[str]


async def read_files(reading: Reading, batches: Iterable[Batch]) -> Found:
    """Read every file, of which nothing may have changed since it was written. Those of one hour are here at a time."""
    directory = reading.folder
    rows: Counter[Hour] = Counter()
    distinct: Counter[Hour] = Counter()
    broken: list[str] = []
    by_hour: dict[Hour, list[ArchivedFile]] = {}
    named: set[str] = set()
    for batch in batches:
        for file in batch.files:
            named.add(file.path)
            by_hour.setdefault((file.tenant_id, file.hour), []).append(file)
        if batch.refused is not None:
            await reading.bring([batch.refused.path])
            if not _is_as_written(directory, batch.refused.path, batch.refused.sha256):
                broken.append(batch.refused.path)
            reading.drop([batch.refused.path])
    with open_engine(memory=MEMORY, temporary=None) as engine:
        for hour, files in by_hour.items():
            await reading.bring(file.path for file in files)
            whole = [file for file in files if _is_as_written(directory, file.path, file.sha256)]
            broken += [file.path for file in files if file not in whole]
            if not whole:
                reading.drop(file.path for file in files)
                continue
            paths = ", ".join(quoted(str(directory / file.path)) for file in whole)
            answer = engine.execute(
                "SELECT count(*), count(DISTINCT (eventId, createdAt)) "  # noqa: S608 - names only
                f"FROM read_parquet([{paths}], hive_partitioning = false)"
            ).fetchone()
            rows[hour], distinct[hour] = answer or (0, 0)
            reading.drop(file.path for file in files)
    there = await reading.names()
    return Found(rows=rows, distinct=distinct, broken=sorted(broken), unknown=sorted(there - named))


def _is_as_written(directory: Path, path: str, sha256: str) -> bool:
    try:
        return digest_of(directory / path) == sha256
    except OSError:
        return False
