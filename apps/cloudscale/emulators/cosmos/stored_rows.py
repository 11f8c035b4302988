"""The documents of a container as a query looks at them: as little of each as the query needs."""

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypedDict

import msgspec

from cloudscale.emulators.cosmos.bindings import Bindings
from cloudscale.emulators.cosmos.errors import bad_request
from cloudscale.emulators.cosmos.ordered_members import find_order, stored_value
from cloudscale.emulators.cosmos.property_path import SYSTEM_PROPERTIES
from cloudscale.emulators.cosmos.query.rows import Position, Row
from cloudscale.emulators.cosmos.query.scope import DocumentUse
from cloudscale.emulators.cosmos.query.values import SortKey, decode_document
from cloudscale.emulators.cosmos.resources import (
    Container,
    document_rid,
    etag,
    system_properties,
)

# What is added to a document that is answered.
_ANSWERED: Final = [name for name in SYSTEM_PROPERTIES if name != "_lsn"]
_whole_decoder: Final = msgspec.json.Decoder()


class DocumentReader:
    """Reads what a query uses of the documents of one container."""

    def __init__(self, container: Container, use: DocumentUse) -> None:
        self._container = container
        self._system = [name for name in _ANSWERED if use.whole or name in use.names]
        members = sorted(use.names.difference(SYSTEM_PROPERTIES))
        self._is_read = use.whole or bool(members)
        self._decoder: msgspec.json.Decoder[Any] = _whole_decoder
        if not use.whole and all(map(str.isascii, members)):
            # Members that are not named are skipped, not decoded. The decoder finds names in ASCII only.
            self._decoder = msgspec.json.Decoder(TypedDict("Members", dict.fromkeys(members, Any), total=False))  # type: ignore[operator]

    def load(self, number: int, lsn: int, timestamp: int, body: bytes) -> dict[str, Any]:
        """The members that the query uses, system properties among them."""
        document = decode_document(self._decoder, body) if self._is_read else {}
        for name in self._system:
            document[name] = self._property(name, number, lsn, timestamp)
        return document

    def _property(self, name: str, number: int, lsn: int, timestamp: int) -> Any:
        if name == "_ts":
            return timestamp
        if name == "_etag":
            return etag(lsn, timestamp)
        if name == "_attachments":
            return "attachments/"
        rid = document_rid(self._container.rid_bytes, number)
        return rid if name == "_rid" else f"{self._container.self_link}docs/{rid}/"

    def render(self, number: int, lsn: int, timestamp: int, body: bytes) -> bytes:
        """The document as clients see it."""
        return body[:-1] + system_properties(self._container, number, lsn, timestamp).encode()


@dataclass(frozen=True, slots=True)
class StoredRow:
    """A row of the table."""

    reader: DocumentReader
    position: Position
    columns: tuple[int, int, int, bytes]

    def load(self) -> dict[str, Any]:
        """What the query uses of it."""
        return self.reader.load(*self.columns)

    def render(self) -> bytes:
        """All of it."""
        return self.reader.render(*self.columns)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ordering:
    """The member that results are ordered by, with SQL conditions that all results meet.

    ``conditions`` are on the rows ``e`` of the order, ``partitions`` on ``d``.
    """

    member: str
    descends: bool
    conditions: list[str]
    partitions: list[str]

    @property
    def is_by_time(self) -> bool:
        """Whether the order is that of the documents' last writes."""
        return self.member == "_ts"


@dataclass(frozen=True, slots=True)
class MemberBounds:
    """SQL conditions on the rows ``e`` of a member's order, which all results of a query meet.

    ``is_range`` says that they are others than that it is equal to something.
    """

    member: str
    conditions: list[str]
    is_range: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """Which documents a query looks at: those that meet SQL ``conditions`` on ``d``, with their ``values``.

    ``times`` are those of the conditions that bound sequence numbers, ``members`` says what the query's condition means
    for members. Fewer than ``few`` documents are sooner read and sorted than found in an order among all the others.
    """

    conditions: Sequence[str]
    values: Mapping[str, object]
    times: Sequence[str] = ()
    members: Sequence[MemberBounds] = ()
    ordering: Ordering | None = None
    few: int = 1


class StoredRows:
    """The documents of a search, by number or in the order of their last writes."""

    def __init__(self, connection: sqlite3.Connection, reader: DocumentReader, container: int, search: Search) -> None:
        self._connection = connection
        self._container = container
        self._search = search
        self._reader = reader
        self._name = f"documents_{container}"
        self._table = f"{self._name} AS d"
        # Writes of one transaction have one sequence number.
        ordering = search.ordering
        is_by_time = ordering is not None and ordering.is_by_time
        self._columns = ("d.lsn", "d.number") if is_by_time else ("d.number",)
        self._descends = is_by_time and ordering is not None and ordering.descends

    def start(self, position: Position | None) -> Iterator[Row]:
        """The documents from a position on, or all."""
        conditions, values = list(self._search.conditions), dict(self._search.values)
        if position is not None:
            conditions.append(self._compare("<=" if self._descends else ">=", position, values))
        direction = " DESC" if self._descends else ""
        order = ", ".join(f"{column}{direction}" for column in self._columns)
        source = self._table
        if (few := self._few_documents(self._search.members, values)) is not None:
            conditions.append(few)
            source += " NOT INDEXED"
        elif self._is_read_by_time(values):
            # SQLite would rather read and sort a whole partition.
            source += f" INDEXED BY {self._name}_lsn"
        return self._select(source, conditions, values, f" ORDER BY {order}")

    def _few_documents(self, members: Sequence[MemberBounds], values: dict[str, object]) -> str | None:
        """A condition that names the only documents that can match, where a member's order says that they are few."""
        for bounds in members:
            order = find_order(self._connection, self._container, bounds.member)
            if order is None:
                continue
            ordered = f"FROM {order.table} AS e WHERE {' AND '.join(bounds.conditions)}"
            newer = f"FROM {self._name} WHERE lsn > {order.lsn}"
            some = f"SELECT 1 {ordered} UNION ALL SELECT 1 {newer}"
            if self._count(some, values) < self._search.few:
                return f"d.number IN (SELECT e.number {ordered} UNION ALL SELECT number {newer})"
        return None

    def _is_read_by_time(self, values: dict[str, object]) -> bool:
        if self._search.times and self._are_few(self._search.times, values):
            return True
        wanted = self._search.ordering
        return wanted is not None and wanted.is_by_time and not self._are_few(wanted.partitions, values)

    def fetch(self, position: Position) -> Row | None:
        """The document at a position, unless it is gone."""
        values = dict(self._search.values)
        conditions = [*self._search.conditions, self._compare("=", position, values)]
        return next(self._select(self._table, conditions, values), None)

    def in_order(self, after: SortKey | None) -> tuple[Iterator[Row], Iterator[Row]] | None:
        """The documents by what they are ordered by, from ``after`` on, and before them those not yet in order."""
        wanted = self._search.ordering
        if wanted is None:
            return None
        order = find_order(self._connection, self._container, wanted.member)
        values = dict(self._search.values)
        if order is None or self._are_few([*wanted.partitions, *self._search.times], values):
            return None
        others = [bounds for bounds in self._search.members if bounds.member != wanted.member]
        if self._few_documents(others, values) is not None:
            return None
        values["covered"] = order.lsn
        newer = ["d.lsn > :covered", *self._search.conditions]
        unordered = self._select(f"{self._table} INDEXED BY {self._name}_lsn", newer, values)
        conditions = ["d.lsn = e.lsn", *wanted.conditions, *self._search.conditions]
        value = None if after is None else stored_value(after)
        if after is not None and value is not None:
            values |= {"after_kind": after[0], "after_value": value}
            conditions.append(f"(e.kind, e.value) {'<=' if wanted.descends else '>='} (:after_kind, :after_value)")
        direction = " DESC" if wanted.descends else ""
        # The order's rows come first and tell which documents to look at.
        source = f"{order.table} AS e CROSS JOIN {self._table} ON d.number = e.number"
        sorting = f" ORDER BY e.kind{direction}, e.value{direction}, e.number"
        return unordered, self._select(source, conditions, values, sorting)

    def _are_few(self, conditions: Sequence[str], values: dict[str, object]) -> bool:
        if not conditions:
            return False
        some = f"SELECT 1 FROM {self._table} WHERE {' AND '.join(conditions)}"
        return self._count(some, values) < self._search.few

    def _count(self, some: str, values: dict[str, object]) -> int:
        """How many rows there are, at the most as many as are not few."""
        (count,) = self._connection.execute(
            f"SELECT count(*) FROM ({some} LIMIT {self._search.few})", values
        ).fetchone()
        return int(count)

    def _compare(self, operator: str, position: Position, values: dict[str, object]) -> str:
        if len(position) != len(self._columns):
            raise bad_request("The continuation token belongs to another query.")
        names = [f"position{index}" for index in range(len(position))]
        values.update(zip(names, position, strict=True))
        return f"({', '.join(self._columns)}) {operator} ({', '.join(f':{name}' for name in names)})"

    def _select(
        self, source: str, conditions: Sequence[str], values: dict[str, object], order: str = ""
    ) -> Iterator[Row]:
        where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
        sql = f"SELECT d.number, d.lsn, d.ts, d.body FROM {source}{where}{order}"
        for row in self._connection.execute(sql, values):
            position = (row[0],) if len(self._columns) == 1 else (row[1], row[0])
            yield StoredRow(self._reader, position, row)


def count_documents(
    connection: sqlite3.Connection, container: int, *, conditions: Sequence[str], bindings: Bindings
) -> int:
    """How many documents meet SQL conditions; an index tells, unless they are about what stands in documents."""
    where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
    (count,) = connection.execute(f"SELECT count(*) FROM documents_{container} AS d{where}", bindings.values).fetchone()
    return int(count)
