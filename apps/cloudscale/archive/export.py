"""Takes events out of an archive, so that they can be sent again, to this pipeline or to another."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Final

from cloudscale.archive.engine import open_engine
from cloudscale.archive.query import MEMORY, QueryError, open_events
from cloudscale.archive.sent_events import SentEvent, SentEvents

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime
    from pathlib import Path

_ROWS_AT_ONCE: Final = 1000
_CONDITIONS: Final = {
    "tenant_id": '"tenantId" = $tenant_id',
    "event_type": '"eventType" = $event_type',
    "since": '"createdAt" >= $since',
    "until": '"createdAt" < $until',
}


@dataclass(frozen=True, kw_only=True)
class Selection:
    """Which events: those for which everything holds that is given. The times are of ``createdAt``."""

    tenant_id: str | None = None
    event_type: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    """Events of this moment are not among them."""


def exported(directory: Path, selection: Selection, *, scratch: Path, memory: str = MEMORY) -> Iterator[SentEvent]:
    """The selected events, the earliest first.

    Args:
        directory: the archive's folder.
        selection: which ones.
        scratch: a folder for what does not fit into the memory while the events are sorted.
        memory: how much the engine may use, as DuckDB writes it.

    Raises:
        ConfigurationError: DuckDB is not installed.
        QueryError: a file cannot be read, or there is no room to sort.
    """
    import duckdb  # noqa: PLC0415 - large, and needed by few commands

    given = {field.name: getattr(selection, field.name) for field in fields(selection)}
    parameters: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    where = " AND ".join(_CONDITIONS[name] for name in parameters) or "true"
    sent = SentEvents()
    with open_engine(memory=memory, temporary=scratch, threads=2) as engine:
        open_events(engine, directory)
        try:
            found = engine.execute(
                f'SELECT * FROM events WHERE {where} ORDER BY "createdAt", "tenantId", "eventId"',  # noqa: S608 - constants
                parameters,
            )
            columns = [column[0] for column in found.description or ()]
            while rows := found.fetchmany(_ROWS_AT_ONCE):
                for row in rows:
                    yield sent.of(dict(zip(columns, row, strict=True)))
        except duckdb.Error as error:
            raise QueryError(f"the archive cannot be read: {error}") from None
