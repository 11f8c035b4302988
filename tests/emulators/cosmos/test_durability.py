"""What was acknowledged survives a kill at any moment, once, and batches stay whole."""

from __future__ import annotations

import asyncio
import random
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from azure.core.exceptions import AzureError
from azure.cosmos import PartitionKey
from azure.cosmos.aio import CosmosClient
from tests.emulators.cosmos.stores import open_documents
from tests.servers.cosmos import CosmosServer, cosmos_server
from tests.waiting import wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from azure.cosmos.aio import ContainerProxy

WRITERS = 4
BATCH = 20
ROUNDS = 5


class Writer:
    """Writes batches, single items and updates until it is told to stop, and remembers what was acknowledged."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.batches: set[int] = set()
        self.versions: dict[str, int] = {}
        self.deleted: set[str] = set()
        self.attempted: set[str] = set()
        self._next = 0

    async def write_for_ever(self, container: ContainerProxy) -> None:
        """Go on until something fails."""
        while True:
            number = self._next
            self._next += 1
            items = [self._item(f"{self.name}-{number}-{index}", number) for index in range(BATCH)]
            await container.execute_item_batch([("create", (item,)) for item in items], self.name)
            self.batches.add(number)
            single = self._item(f"{self.name}-single", number)
            await container.upsert_item(single)
            self.versions[f"{self.name}-single"] = number
            if number % 3 == 2:
                doomed = f"{self.name}-{number}-0"
                self.attempted.add(doomed)
                await container.delete_item(doomed, self.name)
                self.deleted.add(doomed)

    def _item(self, identity: str, number: int) -> dict[str, str | int]:
        return {"id": identity, "pk": self.name, "number": number, "padding": "x" * 300}


async def write_until_killed(server: CosmosServer, writers: list[Writer], moment: float) -> None:
    """Let the writers run and kill the server ``moment`` seconds after the first acknowledged batch."""
    before = sum(len(writer.batches) for writer in writers)
    async with CosmosClient(server.endpoint, server.account_key, retry_total=0, retry_connect=0) as client:
        container = client.get_database_client("db").get_container_client("items")
        tasks = [asyncio.create_task(writer.write_for_ever(container)) for writer in writers]

        async def has_progressed() -> bool:
            return sum(len(writer.batches) for writer in writers) > before

        await wait_until(has_progressed, within=timedelta(seconds=20))
        await asyncio.wait(tasks, timeout=moment)
        await asyncio.to_thread(server.kill)
        # Clients look for the account again before they give up; the server is not coming back for them.
        for task in tasks:
            task.cancel()
        for result in await asyncio.gather(*tasks, return_exceptions=True):
            assert isinstance(result, AzureError | asyncio.CancelledError | OSError), result


@pytest.mark.fault
@pytest.mark.parametrize("fsync", ["interval", "always"])
async def test_acknowledged_writes_survive_kills_at_random_moments(tmp_path: Path, fsync: str) -> None:
    chance = random.Random(20_240_501)
    writers = [Writer(f"writer{number}") for number in range(WRITERS)]
    with cosmos_server(tmp_path / "data", fsync=fsync) as server:
        async with CosmosClient(server.endpoint, server.account_key) as client:
            database = await client.create_database("db")
            await database.create_container("items", PartitionKey("/pk"))
        for _ in range(ROUNDS):
            await write_until_killed(server, writers, chance.uniform(0.0, 0.4))
            server.start()
        async with CosmosClient(server.endpoint, server.account_key) as client:
            container = client.get_database_client("db").get_container_client("items")
            for writer in writers:
                await check(container, writer)
            ids = [item["id"] async for item in container.query_items("SELECT c.id FROM c")]
            counts: list[object] = [count async for count in container.query_items("SELECT VALUE COUNT(1) FROM c")]
            assert counts == [len(ids)]
            feed = container.query_items_change_feed(start_time="Beginning")
            changes = [(item["_lsn"], item["pk"], item["id"]) async for item in feed]
            # The items of one transaction have one number.
            assert [number for number, _, _ in changes] == sorted(number for number, _, _ in changes)
            assert len({(partition, name) for _, partition, name in changes}) == len(changes)
            assert len(changes) == len(ids)


async def check(container: ContainerProxy, writer: Writer) -> None:
    """Everything the writer was told is true."""
    query = "SELECT c.id, c.number FROM c"
    found = [(item["id"], item["number"]) async for item in container.query_items(query, partition_key=writer.name)]
    assert len({identity for identity, _ in found}) == len(found)
    stored = dict(found)
    single = f"{writer.name}-single"
    if writer.versions:
        assert stored.pop(single) >= writer.versions[single]
    stored.pop(single, None)
    assert not writer.deleted & stored.keys()
    sizes: dict[int, int] = {}
    for identity, number in stored.items():
        sizes[number] = sizes.get(number, 0) + 1
        assert identity.startswith(f"{writer.name}-{number}-")
    for number in writer.batches:
        missing = BATCH - sizes.get(number, 0)
        assert missing == 0 or (missing == 1 and f"{writer.name}-{number}-0" in writer.attempted)
    assert all(size >= BATCH - 1 for size in sizes.values())


async def test_a_clean_stop_keeps_everything_and_exits_with_0(tmp_path: Path) -> None:
    with cosmos_server(tmp_path / "data") as server:
        async with CosmosClient(server.endpoint, server.account_key) as client:
            database = await client.create_database("db")
            container = await database.create_container("items", PartitionKey("/pk"))
            await container.create_item({"id": "1", "pk": "a"})
        assert server.stop() == 0
        server.start()
        async with CosmosClient(server.endpoint, server.account_key) as client:
            container = client.get_database_client("db").get_container_client("items")
            assert (await container.read_item("1", "a"))["id"] == "1"


async def test_sequence_numbers_are_never_used_again_after_a_restart(tmp_path: Path) -> None:
    async with open_documents(tmp_path) as (storage, documents):
        await storage.write(lambda: documents.create(b'{"id":"1","pk":"a"}', None))
        item = await storage.write(lambda: documents.create(b'{"id":"2","pk":"a"}', None))
        await storage.write(lambda: documents.delete("2", ("a",)))
    async with open_documents(tmp_path) as (storage, documents):
        again = await storage.write(lambda: documents.create(b'{"id":"2","pk":"a"}', None))
        assert again.lsn > item.lsn
        assert again.number > item.number


async def test_writes_of_one_turn_share_a_transaction_and_fail_alone(tmp_path: Path) -> None:
    async with open_documents(tmp_path) as (storage, documents):
        results = await asyncio.gather(
            *[storage.write(lambda body=body: documents.create(body, None)) for body in (  # type: ignore[misc]
                b'{"id":"1","pk":"a"}', b'{"id":"1","pk":"a"}', b"{", b'{"id":"2","pk":"a"}',
            )],
            return_exceptions=True,
        )  # fmt: skip
        assert [type(result).__name__ for result in results] == ["Item", "CosmosError", "CosmosError", "Item"]
        assert documents.count == 2
