"""Questions to an archive in SQL: a statement that reads, over the table ``events``, and nothing else.

DuckDB can read and write whatever this process can. So the statement must be one SELECT, files outside of the archive
are closed to it, its settings are locked, and its memory and time are bounded.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from cloudscale.archive.engine import open_engine, quoted
from cloudscale.archive.parquet import FILES
from cloudscale.archive.rows import COLUMNS, NAMES
from cloudscale.errors import CloudScaleError, ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import timedelta
    from pathlib import Path

    import duckdb

MEMORY: Final = "1GB"
_ROWS_AT_ONCE: Final = 1000


class QueryError(CloudScaleError):
    """A statement cannot be run, or took too long."""


class Answer:
    """The rows of an answer, as they come."""

    def __init__(self, relation: duckdb.DuckDBPyConnection) -> None:
        self._relation = relation
        self.columns: Sequence[str] = [column[0] for column in relation.description or ()]

    def rows(self) -> Iterator[tuple[Any, ...]]:
        """All rows, a few in memory at a time."""
        while rows := self._relation.fetchmany(_ROWS_AT_ONCE):
            yield from rows


@contextmanager
def ask(directory: Path, statement: str, *, within: timedelta, memory: str = MEMORY) -> Iterator[Answer]:
    """The answer to one SELECT over ``events``; the block has ``within`` to read it.

    Raises:
        ConfigurationError: the statement is none that only reads, or DuckDB is not installed.
        QueryError: it cannot be run, needs more memory than it is given, or takes longer.
    """
    import duckdb  # noqa: PLC0415 - large, and needed by few commands

    with open_engine(memory=memory, temporary=None, threads=2) as engine:
        _require_one_select(engine, statement)
        open_events(engine, directory)
        timer = threading.Timer(within.total_seconds(), engine.interrupt)
        timer.start()
        try:
            yield Answer(engine.execute(statement))
        except duckdb.InterruptException:
            raise QueryError(
                f"the query took longer than {within.total_seconds():g} s: ask for less, or give it more with --timeout"
            ) from None
        except duckdb.OutOfMemoryException:
            raise QueryError(f"the query needs more than {memory} of memory: ask for less, or give it more") from None
        except duckdb.Error as error:
            raise QueryError(str(error)) from None
        finally:
            timer.cancel()


def open_events(engine: duckdb.DuckDBPyConnection, directory: Path) -> None:
    """Make the table ``events`` of an archive, and close everything else to the engine for good.

    Raises:
        QueryError: a file of the archive cannot be read.
    """
    import duckdb  # noqa: PLC0415 - as above

    pattern = str(directory.absolute() / FILES)
    engine.execute(f"SET allowed_directories = [{quoted(str(directory.absolute()) + '/')}]")
    engine.execute("SET enable_external_access = false")
    if any(directory.glob(FILES)):
        columns = ", ".join(f'"{NAMES.get(name, name)}"' for name in COLUMNS)
        options = "hive_partitioning = false, union_by_name = true"
        source = f"SELECT {columns} FROM read_parquet({quoted(pattern)}, {options})"  # noqa: S608 - names only
    else:
        nulls = ", ".join(f'NULL::{kind} AS "{NAMES.get(name, name)}"' for name, kind in COLUMNS.items())
        source = f"SELECT {nulls} WHERE false"
    try:
        engine.execute(f"CREATE VIEW events AS {source}")
    except duckdb.Error as error:
        raise QueryError(
            f"the archive cannot be read: {error}: `cloudscale archive verify` names the files that are not as they "
            "were written"
        ) from None
    engine.execute("SET lock_configuration = true")


def _require_one_select(engine: duckdb.DuckDBPyConnection, statement: str) -> None:
    import duckdb  # noqa: PLC0415 - as above

    try:
        statements = engine.extract_statements(statement)
    except duckdb.Error as error:
        raise QueryError(str(error)) from None
    if len(statements) != 1 or statements[0].type is not duckdb.StatementType.SELECT:
        raise ConfigurationError("only one SELECT can be asked: the archive is read, and nothing else is")
