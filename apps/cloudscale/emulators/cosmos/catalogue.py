"""Databases and containers: what exists, under which name and resource id."""

import sqlite3
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final
from weakref import WeakValueDictionary

import msgspec

from cloudscale.emulators.cosmos.clock import Clock
from cloudscale.emulators.cosmos.computed_properties import parse_computed_properties
from cloudscale.emulators.cosmos.documents import Documents
from cloudscale.emulators.cosmos.errors import OWNER_NOT_FOUND, bad_request, conflict, name_too_long, not_found
from cloudscale.emulators.cosmos.indexing import complete
from cloudscale.emulators.cosmos.ordered_members import drop_orders
from cloudscale.emulators.cosmos.partition_key import PartitionKeyDefinition
from cloudscale.emulators.cosmos.resources import Container, Database
from cloudscale.emulators.cosmos.storage import Storage
from cloudscale.emulators.cosmos.tables import create_tables, drop_tables
from cloudscale.emulators.cosmos.throughput import DEFAULT_THROUGHPUT
from cloudscale.emulators.cosmos.unique_keys import parse_unique_keys

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS databases (number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE,
    ts INTEGER NOT NULL, throughput TEXT);
CREATE TABLE IF NOT EXISTS containers (number INTEGER PRIMARY KEY AUTOINCREMENT, database INTEGER NOT NULL,
    id TEXT NOT NULL, definition TEXT NOT NULL, ts INTEGER NOT NULL, throughput TEXT,
    reserved INTEGER NOT NULL DEFAULT 0, merged INTEGER NOT NULL DEFAULT 0, UNIQUE (database, id));
CREATE TABLE IF NOT EXISTS orders (number INTEGER PRIMARY KEY AUTOINCREMENT, container INTEGER NOT NULL,
    member TEXT NOT NULL, lsn INTEGER NOT NULL, UNIQUE (container, member));
CREATE TABLE IF NOT EXISTS health (number INTEGER PRIMARY KEY, ts INTEGER NOT NULL)
"""
MAXIMUM_NAME_CHARACTERS: Final = 255


def prepare_file(path: Path) -> None:
    """Create the tables that every store has."""
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        connection.executescript(_SCHEMA)
    finally:
        connection.close()


class Catalogue:
    """Everything that exists, in memory; changes are made inside ``Storage.write``."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._connection = storage.connection
        self._clock = Clock()
        # By number. Whoever waits to write holds on to one of these and must find memory as it left it.
        self._known_databases: WeakValueDictionary[int, Database] = WeakValueDictionary()
        self._known_containers: WeakValueDictionary[int, Documents] = WeakValueDictionary()
        self.reload()

    def reload(self) -> None:
        """Read everything from the tables. What is there already stays the same object."""
        self._databases: dict[str, Database] = {}
        self._containers: dict[str, dict[str, Documents]] = {}
        by_number: dict[int, Database] = {}
        for number, name, timestamp, throughput in self._connection.execute(
            "SELECT number, id, ts, throughput FROM databases ORDER BY number"
        ):
            database = self._known_databases.get(number) or Database(number, name.decode(), timestamp, None)
            database.throughput = _decode(throughput)
            by_number[number] = database
            self._add_database(database)
        for number, owner, definition, timestamp, throughput in self._connection.execute(
            "SELECT number, database, definition, ts, throughput FROM containers ORDER BY number"
        ).fetchall():
            documents = self._known_containers.get(number)
            decoded = msgspec.json.decode(definition)
            if documents is None:
                documents = self._open(Container(number, by_number[owner], decoded, timestamp, None))
            documents.container.define(decoded)
            documents.container.throughput = _decode(throughput)
            self._add_container(documents)

    def _open(self, container: Container) -> Documents:
        return Documents(self._storage, container, self._clock)

    def _add_database(self, database: Database) -> None:
        self._known_databases[database.number] = self._databases[database.id] = database
        self._containers[database.id] = {}

    def _add_container(self, documents: Documents) -> None:
        container = documents.container
        self._known_containers[container.number] = documents
        self._containers[container.database.id][container.id] = documents

    # Participant: the catalogue changes so rarely that it is read again when a write fails.

    def flush(self) -> None:
        """Nothing is buffered."""

    def keep(self) -> None:
        """Memory was changed along with the tables."""

    def discard(self) -> None:
        """Take memory back to what the tables say."""
        self.reload()

    # databases

    def databases(self) -> list[Database]:
        """All databases, oldest first."""
        return list(self._databases.values())

    def database(self, name: str) -> Database:
        """A database by name or resource id; raises CosmosError 404."""
        database = self._databases.get(name)
        if database is None:
            database = next((each for each in self._databases.values() if each.rid == name), None)
        if database is None:
            raise not_found(f"database '{name}'", substatus=OWNER_NOT_FOUND)
        return database

    def create_database(self, name: object, throughput: dict[str, Any] | None) -> Database:
        """Create a database; raises CosmosError 409."""
        checked = _check_name(name)
        if checked in self._databases:
            raise conflict(checked)
        self._storage.enlist(self)
        timestamp = int(time.time())
        cursor = self._connection.execute(
            "INSERT INTO databases (id, ts, throughput) VALUES (?, ?, ?)", (checked, timestamp, _encode(throughput))
        )
        assert cursor.lastrowid is not None  # noqa: S101 - an INSERT always has one
        database = Database(cursor.lastrowid, checked, timestamp, throughput)
        self._add_database(database)
        return database

    def delete_database(self, name: str) -> None:
        """Remove a database and all that is in it."""
        database = self.database(name)
        self._storage.enlist(self)
        for documents in list(self._containers[database.id].values()):
            self._drop(documents.container)
        self._connection.execute("DELETE FROM databases WHERE number = ?", (database.number,))
        del self._databases[database.id], self._containers[database.id]

    # containers

    def containers(self, database: str) -> list[Documents]:
        """All containers of a database, oldest first."""
        return list(self._containers[self.database(database).id].values())

    def all_containers(self) -> Iterable[Documents]:
        """The containers of all databases."""
        return [documents for containers in self._containers.values() for documents in containers.values()]

    def container(self, database: str, name: str) -> Documents:
        """A container by names or resource ids; raises CosmosError 404."""
        containers = self._containers[self.database(database).id]
        documents = containers.get(name)
        if documents is None:
            documents = next((each for each in containers.values() if each.container.rid == name), None)
        if documents is None:
            raise not_found(f"container '{name}'", substatus=OWNER_NOT_FOUND)
        return documents

    def create_container(
        self, database: str, definition: dict[str, Any], throughput: dict[str, Any] | None
    ) -> Documents:
        """Create a container, with the least throughput unless the database has some to share.

        Raises CosmosError 409, or 400 for a definition that makes no sense.
        """
        owner = self.database(database)
        if throughput is None and owner.throughput is None:
            throughput = DEFAULT_THROUGHPUT
        checked = _check_definition(definition)
        if checked["id"] in self._containers[owner.id]:
            raise conflict(checked["id"])
        self._storage.enlist(self)
        timestamp = int(time.time())
        cursor = self._connection.execute(
            "INSERT INTO containers (database, id, definition, ts, throughput) VALUES (?, ?, ?, ?, ?)",
            (owner.number, checked["id"], msgspec.json.encode(checked).decode(), timestamp, _encode(throughput)),
        )
        assert cursor.lastrowid is not None  # noqa: S101 - an INSERT always has one
        create_tables(self._connection, cursor.lastrowid)
        documents = self._open(Container(cursor.lastrowid, owner, checked, timestamp, throughput))
        self._add_container(documents)
        return documents

    def replace_container(self, documents: Documents, definition: dict[str, Any]) -> None:
        """Change what may be changed later: time to live, indexing and the like."""
        container = documents.container
        checked = _check_definition({**definition, "id": definition.get("id", container.id)})
        if checked["id"] != container.id or checked["partitionKey"] != container.definition["partitionKey"]:
            raise bad_request("A container's id and partition key cannot be changed.")
        if checked.get("uniqueKeyPolicy") != container.definition.get("uniqueKeyPolicy"):
            raise bad_request("A container's unique keys cannot be changed.")
        self._storage.enlist(self)
        self._update("containers", "definition", container.number, msgspec.json.encode(checked).decode())
        container.define(checked)

    def delete_container(self, documents: Documents) -> None:
        """Remove a container and its documents."""
        self._storage.enlist(self)
        self._drop(documents.container)

    def _drop(self, container: Container) -> None:
        cursor = self._connection.execute("DELETE FROM containers WHERE number = ?", (container.number,))
        if cursor.rowcount == 0:
            raise not_found(f"container '{container.id}'", substatus=OWNER_NOT_FOUND)
        drop_tables(self._connection, container.number)
        drop_orders(self._connection, container.number)
        del self._containers[container.database.id][container.id]

    # throughput

    def set_throughput(self, owner: Database | Container, throughput: dict[str, Any]) -> None:
        """Replace the provisioned throughput of a database or container."""
        self._storage.enlist(self)
        table = "databases" if isinstance(owner, Database) else "containers"
        self._update(table, "throughput", owner.number, _encode(throughput))
        owner.throughput = throughput

    def _update(self, table: str, column: str, number: int, value: str | None) -> None:
        cursor = self._connection.execute(f"UPDATE {table} SET {column} = ? WHERE number = ?", (value, number))
        if cursor.rowcount == 0:
            what = f"the {table.removesuffix('s')}, which was deleted meanwhile"
            raise not_found(what, substatus=OWNER_NOT_FOUND)


def _check_name(name: object) -> str:
    if not isinstance(name, str) or not name or name != name.rstrip(" "):
        raise bad_request("The required property 'id' is missing, not a string or ends with a space.")
    if len(name) > MAXIMUM_NAME_CHARACTERS:
        raise name_too_long(name, MAXIMUM_NAME_CHARACTERS)
    if any(character in name for character in "/\\?#\t\r\n"):
        raise bad_request(f"'{name[:40]}' is no valid id: it has one of / \\ ? #, a tab or the end of a line.")
    return name


def _check_definition(definition: dict[str, Any]) -> dict[str, Any]:
    kept = {name: value for name, value in definition.items() if not name.startswith("_")}
    kept["id"] = _check_name(kept.get("id"))
    partition_key = kept.get("partitionKey") or {"paths": ["/_partitionKey"], "kind": "Hash", "systemKey": True}
    if not isinstance(partition_key, dict):
        raise bad_request("partitionKey must be an object.")
    PartitionKeyDefinition.parse(partition_key)
    parse_unique_keys(kept)
    if partition_key.get("version", 2) != 2:
        raise bad_request("Only version 2 of the partition key's hash is supported by this emulator.")
    kept["partitionKey"] = {"kind": "Hash", **partition_key, "version": 2}
    ttl = kept.get("defaultTtl")
    if ttl is not None and (not isinstance(ttl, int) or isinstance(ttl, bool) or not (ttl == -1 or 0 < ttl < 2**31)):
        raise bad_request("defaultTtl must be -1 or a positive number of seconds below 2^31.")
    kept["indexingPolicy"] = complete(kept.get("indexingPolicy"))
    parse_computed_properties(kept)
    for name in ("vectorEmbeddingPolicy", "fullTextPolicy", "clientEncryptionPolicy", "changeFeedPolicy"):
        if kept.get(name):
            raise bad_request(f"{name} is not supported by this emulator.")
    return kept


def _encode(throughput: dict[str, Any] | None) -> str | None:
    return None if throughput is None else msgspec.json.encode(throughput).decode()


def _decode(text: bytes | None) -> dict[str, Any] | None:
    return None if text is None else msgspec.json.decode(text)
