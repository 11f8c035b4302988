"""Writes rows as Parquet files, one for each tenant and hour, by DuckDB."""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING, Any, Final

from cloudscale.archive.engine import open_engine, quoted
from cloudscale.archive.manifest import ArchivedFile
from cloudscale.archive.rows import COLUMNS, NAMES

if TYPE_CHECKING:
    from pathlib import Path

    import duckdb

PARTITIONS: Final = [
    '"tenantId" AS tenant',
    *(
        f"strftime(\"receivedAt\", '%{code}') AS {part}"
        for part, code in zip(("year", "month", "day", "hour"), "YmdH", strict=True)
    ),
]
MEMORY: Final = "256MB"
ROW_GROUP_ROWS: Final = 122_880


def write_files(rows: Path, folder: Path, *, name: str) -> list[ArchivedFile]:
    """Write the rows of a spool below ``folder``; the paths in the result are relative to it, all is on the disk.

    Raises:
        duckdb.Error: a row is not what its columns take, or there is no room.
        OSError: a file cannot be read back.
    """
    with open_engine(memory=MEMORY, temporary=folder / "spill") as engine:
        columns = ", ".join([f'"{name}" AS "{NAMES.get(name, name)}"' for name in COLUMNS] + PARTITIONS)
        files = folder / "files"
        files.mkdir()
        found = engine.execute(
            f"COPY (SELECT {columns} FROM {rows_of(rows)}) TO {quoted(str(files))} "  # noqa: S608 - names only
            f"(FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE {ROW_GROUP_ROWS}, "
            "PARTITION_BY (tenant, year, month, day, hour), "
            f"FILENAME_PATTERN {quoted(name + '-{i}')}, RETURN_STATS)"
        )
        return [_described(row, files) for row in _as_dicts(found)]


def rows_of(path: Path) -> str:
    """The expression that reads a spool's rows in SQL."""
    columns = ", ".join(f"{quoted(column)}: {quoted(kind)}" for column, kind in COLUMNS.items())
    return f"read_json({quoted(str(path))}, format = 'newline_delimited', columns = {{{columns}}})"


def _as_dicts(found: duckdb.DuckDBPyConnection) -> list[dict[str, Any]]:
    names = [column[0] for column in found.description or ()]
    return [dict(zip(names, row, strict=True)) for row in found.fetchall()]


def _described(row: dict[str, Any], files: Path) -> ArchivedFile:
    path = files.parent / row["filename"]
    keys = {key: str(value) for key, value in dict(row["partition_keys"]).items()}
    received = row["column_statistics"]['"receivedAt"']
    return ArchivedFile(
        path=str(path.relative_to(files)),
        tenant_id=keys["tenant"],
        hour=f"{keys['year']}-{keys['month']}-{keys['day']}T{keys['hour']}",
        rows=row["count"],
        bytes=row["file_size_bytes"],
        sha256=sealed(path),
        first_received_at=received["min"],
        last_received_at=received["max"],
    )


def sealed(path: Path) -> str:
    """The SHA-256 of a file, which is on the disk for good by then."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
    return digest_of(path)


def digest_of(path: Path) -> str:
    """The SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
