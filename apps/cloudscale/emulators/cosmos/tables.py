"""The tables of a container ``n``.

- ``documents_n``: by number, which rises with every new document, so that new rows go to the end of the tree;
  indexed by ``lsn`` for the change feed, by partition for queries (with what tells whether a document has expired, so
  that counting touches no document), and by expiry for those with a time to live of their own.
- ``keys_n``: the unique index over (partition, id), see ``key_index``.
- ``partitions_n``: see ``partitions``.
- ``unique_n``: see ``unique_keys``.
"""

import sqlite3
from collections.abc import Sequence
from typing import Final

from cloudscale.emulators.cosmos.resources import Container, Item

COLUMNS: Final = "number, lsn, partition, ts, ttl, id, body"

_SCHEMA: Final = """
CREATE TABLE documents_{n} (number INTEGER PRIMARY KEY, lsn INTEGER NOT NULL, partition INTEGER NOT NULL,
    ts INTEGER NOT NULL, ttl INTEGER, id TEXT NOT NULL, body TEXT NOT NULL);
CREATE INDEX documents_{n}_lsn ON documents_{n} (lsn, partition);
CREATE INDEX documents_{n}_partition ON documents_{n} (partition, number, ts, ttl);
CREATE INDEX documents_{n}_expiry ON documents_{n} (ts + ttl) WHERE ttl > 0;
CREATE TABLE keys_{n} (digest BLOB PRIMARY KEY, number INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE partitions_{n} (number INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, effective TEXT NOT NULL);
CREATE TABLE unique_{n} (digest BLOB PRIMARY KEY, number INTEGER NOT NULL) WITHOUT ROWID
"""


def create_tables(connection: sqlite3.Connection, container: int) -> None:
    """Create the tables of a new container, within a write."""
    for statement in _SCHEMA.format(n=container).split(";"):
        connection.execute(statement)


def drop_tables(connection: sqlite3.Connection, container: int) -> None:
    """Remove a container's tables, within a write."""
    for name in ("documents", "keys", "partitions", "unique"):
        connection.execute(f"DROP TABLE {name}_{container}")


def to_item(row: Sequence[object]) -> Item:
    """An item from a row of ``COLUMNS``."""
    number, lsn, partition, timestamp, ttl, name, body = row
    return Item(number, lsn, partition, timestamp, ttl, name.decode(), body)  # type: ignore[arg-type, attr-defined]


def first_lsn_at(connection: sqlite3.Connection, container: int, timestamp: int, end: int) -> int:
    """Search for the lowest sequence number below ``end`` that was given at ``timestamp`` (Unix seconds) or later."""
    low, high = 0, end
    while low < high:
        middle = (low + high) // 2
        row = connection.execute(
            f"SELECT lsn, ts FROM documents_{container} WHERE lsn >= ? ORDER BY lsn LIMIT 1",
            (middle,),
        ).fetchone()
        if row is None or row[1] >= timestamp:
            high = middle
        else:
            low = row[0] + 1
    return low


def expired_numbers(
    connection: sqlite3.Connection, container: Container, now: int, *, end: int, limit: int
) -> list[int]:
    """Numbers of up to ``limit`` documents whose time to live has run out; sequence numbers are below ``end``."""
    default, table = container.default_ttl, f"documents_{container.number}"
    if default is None:
        return []
    numbers = connection.execute(
        f"SELECT number FROM {table} WHERE ttl > 0 AND ts + ttl <= ? LIMIT ?",
        (now, limit),
    ).fetchall()
    if default > 0 and len(numbers) < limit:
        first = first_lsn_at(connection, container.number, now - default + 1, end)
        numbers += connection.execute(
            f"SELECT number FROM {table} WHERE lsn < ? AND ttl IS NULL LIMIT ?",
            (first, limit - len(numbers)),
        ).fetchall()
    return [number for (number,) in numbers]
