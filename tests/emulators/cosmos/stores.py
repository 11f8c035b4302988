"""A container opened in the test's own process, for tests below HTTP."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from cloudscale.emulators.cosmos.account import Account
from cloudscale.emulators.cosmos.catalogue import Catalogue, prepare_file
from cloudscale.emulators.cosmos.emulator import Emulator
from cloudscale.emulators.cosmos.storage import Storage

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from cloudscale.emulators.cosmos.documents import Documents

DEFINITION: dict[str, Any] = {"id": "items", "partitionKey": {"paths": ["/pk"], "kind": "Hash"}}


@asynccontextmanager
async def open_catalogue(
    directory: Path, definition: dict[str, Any] | None = None
) -> AsyncIterator[tuple[Storage, Catalogue]]:
    """A storage in ``directory``, with a container in the database ``db`` unless there are some from before."""
    path = directory / "cosmos.sqlite"
    prepare_file(path)
    storage = Storage(path, fsync="interval")
    try:
        catalogue = Catalogue(storage)
        if not catalogue.databases():
            await storage.write(lambda: catalogue.create_database("db", None))
            await storage.write(lambda: catalogue.create_container("db", definition or DEFINITION, None))
        yield storage, catalogue
    finally:
        storage.close()


@asynccontextmanager
async def open_documents(
    directory: Path, definition: dict[str, Any] | None = None
) -> AsyncIterator[tuple[Storage, Documents]]:
    """The same for tests that need no more than the container."""
    async with open_catalogue(directory, definition) as (storage, catalogue):
        yield storage, catalogue.containers("db")[0]


def emulator_of(storage: Storage, catalogue: Catalogue) -> Emulator:
    """Just enough of an emulator to ask it for documents."""
    return Emulator(
        storage,
        catalogue,
        partition_ranges=1,
        enforce_throughput=False,
        account=Account(),
    )


def break_transaction(storage: Storage) -> None:
    """As work in a write: fail the whole group, as a disk does that fails the commit."""
    storage.connection.execute("ROLLBACK")
    storage.connection.execute("SELECT missing")
