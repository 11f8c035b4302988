"""Unique keys: combinations of paths whose values may occur once in a logical partition."""

import sqlite3
from hashlib import blake2b
from typing import Annotated, Any, Final

import msgspec

from cloudscale.emulators.cosmos.decoding import decode_json
from cloudscale.emulators.cosmos.errors import bad_request, conflict
from cloudscale.emulators.cosmos.resources import Container, Item

# "Unique key constraints in Azure Cosmos DB": at most ten keys of at most sixteen paths.
_Path = Annotated[str, msgspec.Meta(pattern="^/")]


class _Key(msgspec.Struct):
    paths: Annotated[list[_Path], msgspec.Meta(min_length=1, max_length=16)]


class _Policy(msgspec.Struct, rename="camel"):
    unique_keys: Annotated[list[_Key], msgspec.Meta(max_length=10)] = []


_document_decoder: Final = msgspec.json.Decoder(dict[str, Any])


def parse_unique_keys(definition: dict[str, Any]) -> list[list[list[str]]]:
    """The names along each path of each unique key in a container's definition; raises CosmosError 400."""
    policy = definition.get("uniqueKeyPolicy")
    if policy is None:
        return []
    try:
        keys = msgspec.convert(policy, _Policy).unique_keys
    except msgspec.ValidationError as error:
        raise bad_request(f"uniqueKeyPolicy makes no sense: {error}.") from error
    return [[path.strip("/").split("/") for path in key.paths] for key in keys]


class UniqueKeys:
    """Enforces the ``uniqueKeyPolicy`` of one container. Costs nothing where there is none."""

    def __init__(self, connection: sqlite3.Connection, container: Container) -> None:
        self._connection = connection
        self._table = f"unique_{container.number}"
        self._keys = parse_unique_keys(container.definition)

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
        document = decode_json(_document_decoder, item.body, "The document")
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
