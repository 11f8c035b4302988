"""The logical partitions of one container: a small number for each partition key that has ever been used."""

import sqlite3
from collections.abc import Sequence
from typing import Final

from cloudscale.emulators.cosmos.partition_key import Component, PartitionKeyDefinition, canonical

CACHED_PARTITIONS: Final = 50_000


class Partitions:
    """Numbers partition keys. What the write that is being made adds is pending until ``keep`` or ``discard``."""

    def __init__(self, connection: sqlite3.Connection, container: int, definition: PartitionKeyDefinition) -> None:
        self._connection = connection
        self._table = f"partitions_{container}"
        self._definition = definition
        self._known: dict[str | tuple[str], int] = {}
        self._pending: dict[str | tuple[str], int] = {}

    def find(self, components: Sequence[Component]) -> int | None:
        """The number of the partition, or None when nothing was ever stored in it."""
        key = _cache_key(components)
        number = self._known.get(key) or self._pending.get(key)
        if number is None:
            text = canonical(components)
            row = self._connection.execute(f"SELECT number FROM {self._table} WHERE key = ?", (text,)).fetchone()
            if row is None:
                return None
            number = int(row[0])
            self._remember({key: number})
        return number

    def find_or_add(self, components: Sequence[Component]) -> int:
        """The number of the partition, within a write."""
        number = self.find(components)
        if number is None:
            cursor = self._connection.execute(
                f"INSERT INTO {self._table} (key, effective) VALUES (?, ?)",
                (canonical(components), self._definition.effective(components)),
            )
            number = cursor.lastrowid
            assert number is not None  # noqa: S101 - an INSERT always has one
            self._pending[_cache_key(components)] = number
        return number

    def all(self, limit: int) -> list[int] | None:
        """The numbers of all partitions, or None when there are more than ``limit``."""
        rows = self._connection.execute(f"SELECT number FROM {self._table} LIMIT ?", (limit + 1,)).fetchall()
        return [number for (number,) in rows] if len(rows) <= limit else None

    def keep(self) -> None:
        """The write succeeded."""
        if self._pending:
            self._remember(self._pending)
            self._pending = {}

    def discard(self) -> None:
        """The write was rolled back."""
        self._pending = {}

    def _remember(self, numbers: dict[str | tuple[str], int]) -> None:
        if len(self._known) >= CACHED_PARTITIONS:
            self._known.clear()
        self._known |= numbers


def _cache_key(components: Sequence[Component]) -> str | tuple[str]:
    """One string, by far the most frequent kind of key, stands for itself; a tuple cannot be taken for one."""
    if len(components) == 1 and isinstance(components[0], str):
        return components[0]
    return (canonical(components),)
