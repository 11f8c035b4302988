"""Writes rows as Parquet files, one for each tenant and hour, by DuckDB."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from cloudscale.archive.engine import open_engine, quoted
from cloudscale.archive.manifest import ArchivedFile
from cloudscale.archive.rows import COLUMNS, NAMES
from cloudscale.archive.spool import ArchiveUnavailableError

if TYPE_CHECKING:
    from pathlib import Path

    import duckdb

    from cloudscale.archive.spool import Spool

FILES: Final = "tenant=*/year=*/month=*/day=*/hour=*/*.parquet"
"""Where the files of an archive are."""

MEMORY: Final = "256MB"
ROW_GROUP_ROWS: Final = 122_880
_CODES: Final = {"year": "%Y", "month": "%m", "day": "%d", "hour": "%H"}
_LINES_AT_ONCE: Final = 1000


def write_files(spool: Spool, files: Path, *, name: str, besides: Path | None = None) -> list[ArchivedFile]:
    """Write the rows of a spool below ``files``, less those that are in the archive ``besides``.

    The paths in the result are relative to ``files``, and all is on the disk. A row that DuckDB does not take is put
    aside with the spool's refused documents.

    Raises:
        ArchiveUnavailableError: there is no room, or not enough memory.
        OSError: a file cannot be read back.
    """
    import duckdb  # noqa: PLC0415 - large, and needed by few processes

    with open_engine(memory=MEMORY, temporary=spool.folder / "spill") as engine:
        try:
            try:
                return _copy(engine, spool.rows_path, files, name=name, besides=besides)
            except (duckdb.DataError, duckdb.InvalidInputException):
                _put_aside(engine, spool)
                shutil.rmtree(files)
                files.mkdir()
                return _copy(engine, spool.rows_path, files, name=name, besides=besides) if spool.rows else []
        except (duckdb.IOException, duckdb.OutOfMemoryException) as error:
            raise ArchiveUnavailableError(f"DuckDB cannot write the archive's files: {error}: make room") from None


def _copy(
    engine: duckdb.DuckDBPyConnection, rows: Path, files: Path, *, name: str, besides: Path | None
) -> list[ArchivedFile]:
    columns = [f'"{column}" AS "{NAMES.get(column, column)}"' for column in COLUMNS]
    columns += ['"tenantId" AS tenant', *(f"strftime(\"receivedAt\", '{_CODES[part]}') AS {part}" for part in _CODES)]
    selected = f"SELECT {', '.join(columns)} FROM {rows_of(rows)} AS new"  # noqa: S608 - names only
    if besides is not None and any(besides.glob(FILES)):
        selected += (
            f" WHERE NOT EXISTS (SELECT 1 FROM read_parquet({quoted(str(besides / FILES))}, hive_partitioning = false) "  # noqa: S608 - names
            'AS old WHERE old."tenantId" = new."tenantId" AND old."eventId" = new."id" '
            'AND old."receivedAt" = new."receivedAt" AND old."createdAt" IS NOT DISTINCT FROM new."createdAt")'
        )
    answer = engine.execute(
        f"COPY ({selected}) TO {quoted(str(files))} (FORMAT parquet, COMPRESSION zstd, OVERWRITE_OR_IGNORE, "
        f"ROW_GROUP_SIZE {ROW_GROUP_ROWS}, PARTITION_BY (tenant, {', '.join(_CODES)}), "
        f"FILENAME_PATTERN {quoted(name + '-{i}')}, RETURN_STATS)"
    )
    names = [column[0] for column in answer.description or ()]
    return [_described(dict(zip(names, row, strict=True)), files) for row in answer.fetchall()]


def hours_of(spool: Spool) -> set[tuple[str, str]]:
    """The tenants and hours, as ``yyyy-MM-ddTHH``, that a spool has rows of. Rows that DuckDB does not take have none.

    Raises:
        ArchiveUnavailableError: there is not enough memory.
    """
    import duckdb  # noqa: PLC0415 - as above

    found: set[tuple[str, str]] = set()
    with open_engine(memory=MEMORY, temporary=spool.folder / "spill") as engine:
        try:
            answer = engine.execute(
                'SELECT DISTINCT "tenantId", strftime("receivedAt", \'%Y-%m-%dT%H\') '  # noqa: S608 - names only
                f"FROM {rows_of(spool.rows_path, ignore_errors=True)}"
            )
            found.update((str(tenant_id), str(hour)) for tenant_id, hour in answer.fetchall())
        except (duckdb.IOException, duckdb.OutOfMemoryException) as error:
            raise ArchiveUnavailableError(f"DuckDB cannot read what is to be archived: {error}: make room") from None
    return found


def rows_of(path: Path, *, ignore_errors: bool = False) -> str:
    """The expression that reads a spool's rows in SQL."""
    columns = ", ".join(f"{quoted(column)}: {quoted(kind)}" for column, kind in COLUMNS.items())
    options = f"format = 'newline_delimited', columns = {{{columns}}}, ignore_errors = {str(ignore_errors).lower()}"
    return f"read_json({quoted(str(path))}, {options})"


def _put_aside(engine: duckdb.DuckDBPyConnection, spool: Spool) -> None:
    """Take the rows out of a spool that are not what their columns take."""
    fitting, part = spool.folder / "fitting.ndjson", spool.folder / "part.ndjson"
    kept = 0

    def sort_out(lines: list[bytes]) -> None:
        nonlocal kept
        part.write_bytes(b"".join(lines))
        reason = _refusal(engine, part)
        if reason is None:
            with fitting.open("ab") as file:
                file.writelines(lines)
            kept += len(lines)
        elif len(lines) == 1:
            spool.refuse(json.dumps(json.loads(lines[0])), reason)
        else:
            sort_out(lines[: len(lines) // 2])
            sort_out(lines[len(lines) // 2 :])

    with spool.rows_path.open("rb") as file:
        while lines := list(islice(file, _LINES_AT_ONCE)):
            sort_out(lines)
    fitting.touch()
    fitting.rename(spool.rows_path)
    spool.rows = kept


def _refusal(engine: duckdb.DuckDBPyConnection, rows: Path) -> str | None:
    """Why the engine does not take these rows, None if it does."""
    import duckdb  # noqa: PLC0415 - as above

    try:
        engine.execute(f"SELECT count(COLUMNS(*)) FROM {rows_of(rows)}").fetchall()  # noqa: S608 - names only
    except (duckdb.DataError, duckdb.InvalidInputException) as error:
        return str(error).split("\n", 1)[0]
    return None


def _described(row: dict[str, Any], files: Path) -> ArchivedFile:
    path = files / row["filename"]
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


def sync(folder: Path) -> None:
    """Bring what a folder says of its files to the disk, for good."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
