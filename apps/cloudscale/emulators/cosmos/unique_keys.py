"""Unique keys: combinations of paths whose values may occur once in a logical partition."""

import sqlite3
from hashlib import blake2b
from typing import Any

import msgspec

from cloudscale.emulators.cosmos.errors import conflict
from cloudscale.emulators.cosmos.resources import Container, Item


class UniqueKeys:
    """Enforces the ``uniqueKeyPolicy`` of one container. Costs nothing where there is none."""

    def __init__(self, connection: sqlite3.Connection, container: Container) -> None:
        self._connection = connection
        self._table = f"unique_{container.number}"
        policy = container.definition.get("uniqueKeyPolicy") or {}
        self._keys: list[list[list[str]]] = [
            [path.strip("/").split("/") for path in key["paths"]] for key in policy.get("uniqueKeys", [])
        ]

    @property
    def any(self) -> bool:
        """Whether the container has unique keys."""
        return bool(self._keys)

    def add(self, item: Item) -> None:
        """Take the item's values; raises CosmosError 409 when another document of its partition has them."""
        for digest in self._digests(item):
            cursor = self._connection.execute(
                f"INSERT OR IGNORE INTO {self._table} VALUES (?, ?)",
                (digest, item.number),
            )
            if cursor.rowcount == 0:
                raise conflict(f"{item.id}: unique key constraint")

    def remove(self, item: Item) -> None:
        """Free the item's values."""
        digests = [(digest,) for digest in self._digests(item)]
        self._connection.executemany(f"DELETE FROM {self._table} WHERE digest = ?", digests)

    def _digests(self, item: Item) -> list[bytes]:
        document = msgspec.json.decode(item.body)
        return [
            blake2b(
                msgspec.json.encode([item.partition, index, [_at(document, path) for path in key]]), digest_size=16
            ).digest()
            for index, key in enumerate(self._keys)
        ]


def _at(document: Any, path: list[str]) -> Any:
    for name in path:
        if not isinstance(document, dict) or name not in document:
            return {}
        document = document[name]
    return document
