"""Items by the links that documents bring along, whole partitions, and parts of hierarchical keys."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING

import pytest
from azure.cosmos.exceptions import CosmosResourceNotFoundError
from tests.emulators.cosmos.stores import emulator_of, open_catalogue
from tests.emulators.cosmos.test_queries import select

from cloudscale.emulators.cosmos.extents import extent_of
from cloudscale.emulators.cosmos.protocol import Request

if TYPE_CHECKING:
    from pathlib import Path

    from azure.cosmos.aio import ContainerProxy

REMOVED = 450


async def test_an_item_is_found_by_what_a_query_returned(container: ContainerProxy) -> None:
    await container.create_item({"id": "1", "pk": "a", "v": 1})
    (item,) = await select(container, "SELECT * FROM c", partition_key="a")
    assert (await container.read_item(item, "a"))["v"] == 1
    assert (await container.replace_item(item, {**item, "v": 2}))["v"] == 2
    await container.delete_item(item, "a")
    with pytest.raises(CosmosResourceNotFoundError):
        await container.read_item(item, "a")


async def test_all_items_of_a_partition_are_deleted_and_no_others(container: ContainerProxy) -> None:
    for start in range(0, REMOVED, 90):
        batch = [("create", ({"id": str(number), "pk": "a"},)) for number in range(start, start + 90)]
        await container.execute_item_batch(batch, "a")
    await container.create_item({"id": "1", "pk": "b"})
    await container.delete_all_items_by_partition_key("a")
    assert [(item["id"], item["pk"]) async for item in container.read_all_items()] == [("1", "b")]


async def test_the_beginning_of_a_hierarchical_key_selects_all_that_begin_so(tmp_path: Path) -> None:
    definition = {"id": "items", "partitionKey": {"paths": ["/a", "/b"], "kind": "MultiHash"}}
    async with open_catalogue(tmp_path, definition) as (storage, catalogue):
        items = catalogue.container("db", "items")
        for number, (first, second) in enumerate([("x", "1"), ("x", "2"), ("y", "1")]):
            body = json.dumps({"id": str(number), "a": first, "b": second}).encode()
            await storage.write(partial(items.create, body, None))
        request = Request("POST", "", {"x-ms-documentdb-partitionkey": '["x"]'})
        extent = extent_of(emulator_of(storage, catalogue), items, request)
        spans = [items.container.partition_key.effective(key) for key in (("x", "1"), ("x", "2"), ("y", "1"))]
    assert [extent.low <= span < extent.high for span in spans] == [True, True, False]
