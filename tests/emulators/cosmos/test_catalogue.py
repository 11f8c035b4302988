"""Databases and containers change beside items that are being written."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from tests.emulators.cosmos.stores import DEFINITION, break_transaction, emulator_of, open_catalogue

from cloudscale.emulators.cosmos.change_feed import read_changes
from cloudscale.emulators.cosmos.errors import CannotWriteError, CosmosError
from cloudscale.emulators.cosmos.protocol import Request
from cloudscale.emulators.cosmos.queries import read_all

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from cloudscale.emulators.cosmos.catalogue import Catalogue
    from cloudscale.emulators.cosmos.protocol import Response
    from cloudscale.emulators.cosmos.resources import Item
    from cloudscale.emulators.cosmos.storage import Storage

OTHER: dict[str, Any] = {**DEFINITION, "id": "other"}
# Status and sub-status for something whose owner does not exist.
GONE = (404, 1003)


def creation(storage: Storage, catalogue: Catalogue, name: str) -> Awaitable[Item]:
    """A write to the container as it is found now, which is made when the group is."""
    documents = catalogue.container("db", "items")
    body = f'{{"id":"{name}","pk":"a"}}'.encode()
    return storage.write(lambda: documents.create(body, None))


async def expect_once(storage: Storage, catalogue: Catalogue, *names: str) -> None:
    """Each document is there and its id is taken."""
    for name in names:
        assert catalogue.container("db", "items").find(("a",), name).id == name
        with pytest.raises(CosmosError, match="already exists"):
            await creation(storage, catalogue, name)


async def test_a_databases_throughput_changes_while_items_are_written(tmp_path: Path) -> None:
    async with open_catalogue(tmp_path) as (storage, catalogue):
        await asyncio.gather(
            storage.write(lambda: catalogue.set_throughput(catalogue.database("db"), {"offerThroughput": 500})),
            creation(storage, catalogue, "1"),
        )
        await creation(storage, catalogue, "2")
        await expect_once(storage, catalogue, "1", "2")
        assert catalogue.database("db").throughput == {"offerThroughput": 500}
    async with open_catalogue(tmp_path) as (storage, catalogue):
        await expect_once(storage, catalogue, "1", "2")
        assert catalogue.database("db").throughput == {"offerThroughput": 500}


def change_throughput(catalogue: Catalogue) -> None:
    catalogue.set_throughput(catalogue.database("db"), {"offerThroughput": 500})


def change_definition(catalogue: Catalogue) -> None:
    catalogue.replace_container(catalogue.container("db", "items"), {**DEFINITION, "defaultTtl": 5})


def create_another(catalogue: Catalogue) -> None:
    catalogue.create_container("db", OTHER, None)


def create_a_database(catalogue: Catalogue) -> None:
    catalogue.create_database("another", None)


def delete_the_database(catalogue: Catalogue) -> None:
    catalogue.delete_database("db")


CHANGES = [change_throughput, change_definition, create_another, create_a_database, delete_the_database]


@pytest.mark.parametrize("change", CHANGES)
async def test_a_change_that_fails_leaves_everything_as_it_was(
    tmp_path: Path, change: Callable[[Catalogue], None]
) -> None:
    def change_and_fail(catalogue: Catalogue) -> None:
        change(catalogue)
        raise ZeroDivisionError

    async with open_catalogue(tmp_path) as (storage, catalogue):
        await creation(storage, catalogue, "0")
        failed, *_ = await asyncio.gather(
            storage.write(lambda: change_and_fail(catalogue)),
            creation(storage, catalogue, "1"),
            return_exceptions=True,
        )
        assert isinstance(failed, ZeroDivisionError)
        await creation(storage, catalogue, "2")
        await expect_once(storage, catalogue, "0", "1", "2")
        assert [database.id for database in catalogue.databases()] == ["db"]
        (documents,) = catalogue.all_containers()
        assert documents.container.default_ttl is None
        assert documents.container.database is catalogue.database("db")
        assert documents.container.database.throughput is None


async def test_a_name_can_be_used_again_after_its_creation_has_failed(tmp_path: Path) -> None:
    async with open_catalogue(tmp_path) as (storage, catalogue):
        # The number that the next container gets, so that its tables cannot be made.
        storage.connection.execute("CREATE TABLE documents_2 (number)")
        with pytest.raises(CosmosError):
            await storage.write(lambda: catalogue.create_container("db", OTHER, None))
        storage.connection.execute("DROP TABLE documents_2")
        other = await storage.write(lambda: catalogue.create_container("db", OTHER, None))
        await storage.write(lambda: other.create(b'{"id":"1","pk":"a"}', None))
        assert catalogue.container("db", "other").count == 1


async def test_a_write_to_a_deleted_container_in_a_group_that_fails_stops_nobody_later(tmp_path: Path) -> None:
    async with open_catalogue(tmp_path) as (storage, catalogue):
        items = catalogue.container("db", "items")
        other = await storage.write(lambda: catalogue.create_container("db", OTHER, None))
        await storage.write(lambda: catalogue.delete_container(items))
        failed = await asyncio.gather(
            storage.write(lambda: items.create(b'{"id":"1","pk":"a"}', None)),
            storage.write(lambda: break_transaction(storage)),
            return_exceptions=True,
        )
        assert [type(each) for each in failed] == [CannotWriteError, CannotWriteError]
        async with asyncio.timeout(5):
            await storage.write(lambda: other.create(b'{"id":"1","pk":"a"}', None))


async def test_a_write_behind_the_deletion_of_its_container_finds_it_gone(tmp_path: Path) -> None:
    async with open_catalogue(tmp_path) as (storage, catalogue):
        await creation(storage, catalogue, "1")
        items = catalogue.container("db", "items")
        _, *failed = await asyncio.gather(
            storage.write(lambda: catalogue.delete_container(items)),
            creation(storage, catalogue, "2"),
            storage.write(lambda: items.delete("1", ("a",))),
            return_exceptions=True,
        )
        assert [(error.status, error.substatus) for error in failed if isinstance(error, CosmosError)] == [GONE] * 2


async def test_a_query_behind_the_deletion_of_its_container_finds_it_gone(tmp_path: Path) -> None:
    async with open_catalogue(tmp_path) as (storage, catalogue):
        emulator = emulator_of(storage, catalogue)
        items = catalogue.container("db", "items")
        await storage.write(lambda: catalogue.delete_container(items))
        requests: list[Callable[[], Awaitable[Response]]] = [
            lambda: read_all(emulator, items, Request("GET", "", {})),
            lambda: read_changes(emulator, items, Request("GET", "", {"a-im": "Incremental feed"})),
        ]
        for request in requests:
            with pytest.raises(CosmosError) as caught:
                await request()
            assert (caught.value.status, caught.value.substatus) == GONE


@pytest.mark.parametrize("gone", ["database", "container"])
async def test_what_was_deleted_meanwhile_cannot_be_changed(tmp_path: Path, gone: str) -> None:
    async with open_catalogue(tmp_path) as (storage, catalogue):
        database, documents = catalogue.database("db"), catalogue.container("db", "items")
        if gone == "database":
            await storage.write(lambda: catalogue.delete_database("db"))
        else:
            await storage.write(lambda: catalogue.delete_container(documents))
        changes: list[Callable[[], None]] = [
            lambda: catalogue.set_throughput(documents.container, {"offerThroughput": 500}),
            lambda: catalogue.replace_container(documents, DEFINITION),
            lambda: catalogue.delete_container(documents),
        ]
        if gone == "database":
            changes.append(lambda: catalogue.set_throughput(database, {"offerThroughput": 500}))
        for change in changes:
            with pytest.raises(CosmosError) as caught:
                await storage.write(change)
            assert (caught.value.status, caught.value.substatus) == GONE


@pytest.mark.parametrize(
    "definition",
    [
        {"uniqueKeyPolicy": {"uniqueKeys": [{}]}},
        {"uniqueKeyPolicy": {"uniqueKeys": [{"paths": []}]}},
        {"uniqueKeyPolicy": {"uniqueKeys": [{"paths": ["name"]}]}},
        {"uniqueKeyPolicy": {"uniqueKeys": [{"paths": [1]}]}},
        {"uniqueKeyPolicy": {"uniqueKeys": ["/name"]}},
        {"uniqueKeyPolicy": {"uniqueKeys": {"paths": ["/name"]}}},
        {"uniqueKeyPolicy": {"uniqueKeys": [{"paths": ["/name"]}] * 11}},
        {"uniqueKeyPolicy": {"uniqueKeys": [{"paths": [f"/p{number}" for number in range(17)]}]}},
        {"uniqueKeyPolicy": [{"paths": ["/name"]}]},
        {"defaultTtl": 2**31},
        {"defaultTtl": 0},
        {"partitionKey": ["/pk"]},
    ],
)
async def test_a_definition_that_makes_no_sense_is_refused(tmp_path: Path, definition: dict[str, Any]) -> None:
    async with open_catalogue(tmp_path) as (storage, catalogue):
        with pytest.raises(CosmosError) as caught:
            await storage.write(lambda: catalogue.create_container("db", {**OTHER, **definition}, None))
        assert caught.value.status == 400


@pytest.mark.parametrize("policy", [None, {}, {"uniqueKeys": []}, {"uniqueKeys": [{"paths": ["/a", "/b/c"]}]}])
async def test_a_definition_may_have_unique_keys_or_none(tmp_path: Path, policy: dict[str, Any] | None) -> None:
    async with open_catalogue(tmp_path) as (storage, catalogue):
        definition = {**OTHER, "uniqueKeyPolicy": policy}
        other = await storage.write(lambda: catalogue.create_container("db", definition, None))
        await storage.write(lambda: other.create(b'{"id":"1","pk":"a"}', None))


async def test_a_container_shares_the_throughput_of_its_database(tmp_path: Path) -> None:
    async with open_catalogue(tmp_path) as (storage, catalogue):
        await storage.write(lambda: catalogue.create_database("sharing", {"offerThroughput": 600}))
        shared = await storage.write(lambda: catalogue.create_container("sharing", DEFINITION, None))
        assert shared.container.throughput is None
        assert catalogue.container("db", "items").container.throughput == {"offerThroughput": 400}
