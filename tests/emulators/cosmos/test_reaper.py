"""Expired documents are removed, whatever happens to one container or one write."""

from __future__ import annotations

import asyncio
import gc
from typing import TYPE_CHECKING, Any

import pytest
from tests.emulators.cosmos.stores import DEFINITION, emulator_of, open_catalogue

from cloudscale.emulators.cosmos import server
from cloudscale.emulators.cosmos.reaper import reap
from cloudscale.emulators.cosmos.server import ServerSettings, serve

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from cloudscale.emulators.cosmos.documents import Documents
    from cloudscale.emulators.cosmos.emulator import Emulator

MORTAL: dict[str, Any] = {**DEFINITION, "defaultTtl": -1}
# Unix seconds, long past.
WRITTEN_AT = 1_000_000_000


@pytest.fixture
async def emulator(tmp_path: Path) -> AsyncIterator[Emulator]:
    """Two containers with an expired document and a living one in each."""
    async with open_catalogue(tmp_path, MORTAL) as (storage, catalogue):
        await storage.write(lambda: catalogue.create_container("db", {**MORTAL, "id": "other"}, None))
        for documents in catalogue.all_containers():
            for body in (b'{"id":"expired","pk":"a","ttl":1}', b'{"id":"living","pk":"a"}'):
                await storage.write(lambda documents=documents, body=body: documents.create(body, None))  # type: ignore[misc]
        for table in ("documents_1", "documents_2"):
            storage.connection.execute(f"UPDATE {table} SET ts = {WRITTEN_AT}")  # noqa: S608 - a constant
        yield emulator_of(storage, catalogue)


def containers(emulator: Emulator) -> list[Documents]:
    return list(emulator.catalogue.all_containers())


async def test_expired_documents_are_removed_from_all_containers(emulator: Emulator) -> None:
    await reap(emulator)
    assert [documents.count for documents in containers(emulator)] == [1, 1]


async def test_a_container_that_cannot_be_read_keeps_no_other_from_being_reaped(emulator: Emulator) -> None:
    emulator.storage.connection.execute("DROP TABLE documents_1")
    await reap(emulator)
    assert containers(emulator)[1].count == 1


async def test_a_write_that_fails_keeps_no_other_container_from_being_reaped_and_is_made_up_for(
    emulator: Emulator,
) -> None:
    connection = emulator.storage.connection
    connection.execute("CREATE TRIGGER refuse BEFORE DELETE ON documents_1 BEGIN SELECT RAISE(ABORT, 'refused'); END")
    await reap(emulator)
    assert [documents.count for documents in containers(emulator)] == [2, 1]
    connection.execute("DROP TRIGGER refuse")
    await reap(emulator)
    assert [documents.count for documents in containers(emulator)] == [1, 1]


@pytest.fixture
def collector() -> Iterator[None]:
    """What a server in the test's own process does to the garbage collector is undone."""
    thresholds = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*thresholds)


@pytest.mark.usefixtures("collector")
async def test_the_server_ends_with_the_error_when_reaping_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(_: Emulator) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(server, "reap_regularly", fail)
    async with asyncio.timeout(20):
        with pytest.raises(ZeroDivisionError):
            await serve(ServerSettings(data_directory=tmp_path, port=0), asyncio.Event())
