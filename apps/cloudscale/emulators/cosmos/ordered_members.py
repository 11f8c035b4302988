"""Documents in the order of a member of theirs, so that a page of ORDER BY costs no more than the page.

Writing a document costs nothing more for it: an order's table is brought up to date every few seconds, in small writes,
unless many documents are being written. It is known up to which sequence number it is complete: documents above that
are looked at one by one, and a row with another sequence number than its document's is out of date.

An order is kept from the first query for it on, in containers that are large enough for it to matter.
"""

import sqlite3
from dataclasses import dataclass
from typing import Any, Final, TypedDict

import msgspec

from cloudscale.emulators.cosmos.property_path import SYSTEM_PROPERTIES
from cloudscale.emulators.cosmos.query.ast import UNDEFINED
from cloudscale.emulators.cosmos.query.values import SortKey, decode_document, sort_key
from cloudscale.emulators.cosmos.resources import Container

LEAST_DOCUMENTS: Final = 2_000
"""With fewer, sorting takes less time than keeping an order."""
MOST_ORDERS: Final = 8
"""For each container."""
DOCUMENTS_PER_STEP: Final = 500
_UNUSABLE: Final = -1
_LARGEST_INTEGER: Final = 2**63 - 1
_SCHEMA: Final = """
CREATE TABLE {table} (number INTEGER PRIMARY KEY, partition INTEGER NOT NULL, kind INTEGER NOT NULL, value NOT NULL,
    lsn INTEGER NOT NULL);
CREATE INDEX {table}_value ON {table} (kind, value, number, partition, lsn)
"""


@dataclass(frozen=True, slots=True)
class KeptOrder:
    """The table of an order, and the sequence number up to which it is complete."""

    table: str
    lsn: int


def find_order(connection: sqlite3.Connection, container: int, member: str) -> KeptOrder | None:
    """The order of a member as the connection sees it; None when there is none to be used."""
    row = connection.execute(
        "SELECT number, lsn FROM orders WHERE container = ? AND member = ?", (container, member)
    ).fetchone()
    return None if row is None or row[1] == _UNUSABLE else KeptOrder(_table(row[0]), row[1])


def stored_value(key: SortKey) -> int | float | bytes | None:
    """What stands for a sort key's value in the table, in the same order; None when nothing can."""
    value = key[1]
    if isinstance(value, str):
        return value.encode("utf-8", "surrogatepass")
    if isinstance(value, int) and abs(value) > _LARGEST_INTEGER:
        return None
    return value  # type: ignore[no-any-return]


class OrderedMembers:
    """The orders of one container. What changes something is called inside ``Storage.write``."""

    def __init__(self, connection: sqlite3.Connection, container: Container) -> None:
        self._connection = connection
        self._container = container
        self._documents = f"documents_{container.number}"
        self.reload()

    def reload(self) -> None:
        """Read from the tables which orders there are."""
        rows = self._connection.execute(
            "SELECT member, number FROM orders WHERE container = ?", (self._container.number,)
        ).fetchall()
        self._known: dict[str, int] = {member.decode(): number for member, number in rows}
        self._is_changed = False

    @property
    def members(self) -> list[str]:
        """The members that an order is kept of."""
        return list(self._known)

    def keep(self) -> None:
        """The write succeeded."""
        self._is_changed = False

    def discard(self) -> None:
        """The write was rolled back."""
        if self._is_changed:
            self.reload()

    def may_add(self, member: str, count: int) -> bool:
        """Whether an order should be kept that is not, in a container with so many documents."""
        is_plain = member.isascii() and member not in SYSTEM_PROPERTIES and member not in self._container.computed
        return is_plain and member not in self._known and len(self._known) < MOST_ORDERS and count >= LEAST_DOCUMENTS

    def add(self, member: str) -> None:
        """Keep an order from now on."""
        if member in self._known:
            return
        self._is_changed = True
        cursor = self._connection.execute(
            "INSERT INTO orders (container, member, lsn) VALUES (?, ?, 0)", (self._container.number, member)
        )
        assert cursor.lastrowid is not None  # noqa: S101 - an INSERT always has one
        for statement in _SCHEMA.format(table=_table(cursor.lastrowid)).split(";"):
            self._connection.execute(statement)
        self._known[member] = cursor.lastrowid

    def remove(self, number: int) -> None:
        """Forget a document."""
        for order in self._known.values():
            self._connection.execute(f"DELETE FROM {_table(order)} WHERE number = ?", (number,))

    def catch_up(self, member: str, last: int) -> None:
        """Take in the next documents that were written; ``last`` is the sequence number of the last write of all."""
        order = self._known[member]
        (covered,) = self._connection.execute("SELECT lsn FROM orders WHERE number = ?", (order,)).fetchone()
        if covered == _UNUSABLE:
            return
        end = self._end_of_step(covered, last)
        found = self._connection.execute(
            f"SELECT number, partition, lsn, body FROM {self._documents} WHERE lsn > ? AND lsn <= ?", (covered, end)
        ).fetchall()
        read = _reader_of(member)
        rows: list[tuple[object, ...]] = []
        for number, partition, lsn, body in found:
            key = sort_key(read(body))
            value = stored_value(key)
            if value is None:
                # SQLite has no whole numbers of more than 64 bits.
                end = _UNUSABLE
                break
            rows.append((number, partition, key[0], value, lsn))
        self._connection.executemany(f"INSERT OR REPLACE INTO {_table(order)} VALUES (?, ?, ?, ?, ?)", rows)
        self._connection.execute("UPDATE orders SET lsn = ? WHERE number = ?", (end, order))

    def is_behind(self, member: str, last: int) -> bool:
        """Whether a whole step of documents up to the sequence number ``last`` is not yet in order."""
        order = find_order(self._connection, self._container.number, member)
        return order is not None and self.has_more(DOCUMENTS_PER_STEP, after=order.lsn, last=last)

    def has_more(self, count: int, *, after: int, last: int) -> bool:
        """Whether at least ``count`` documents were written behind ``after`` and up to the sequence number ``last``.

        Sequence numbers do not tell: a transaction of a hundred documents has one.
        """
        row = self._connection.execute(
            f"SELECT 1 FROM {self._documents} WHERE lsn > ? AND lsn <= ? LIMIT 1 OFFSET ?", (after, last, count - 1)
        ).fetchone()
        return row is not None

    def _end_of_step(self, covered: int, last: int) -> int:
        """The sequence number that the next step ends with: a transaction's documents share one."""
        row = self._connection.execute(
            f"SELECT lsn FROM {self._documents} WHERE lsn > ? ORDER BY lsn LIMIT 1 OFFSET ?",
            (covered, DOCUMENTS_PER_STEP - 1),
        ).fetchone()
        return last if row is None else int(row[0])


def drop_orders(connection: sqlite3.Connection, container: int) -> None:
    """Remove a container's orders, within a write."""
    for (order,) in connection.execute("SELECT number FROM orders WHERE container = ?", (container,)).fetchall():
        connection.execute(f"DROP TABLE {_table(order)}")
    connection.execute("DELETE FROM orders WHERE container = ?", (container,))


def _table(order: int) -> str:
    return f"ordered_{order}"


def _reader_of(member: str) -> Any:
    """Reads a member from a document's text. Its name is in ASCII: the decoder finds no others."""
    decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(TypedDict("Member", {member: Any}, total=False))  # type: ignore[operator]
    return lambda body: decode_document(decoder, body).get(member, UNDEFINED)
