"""Writes that the service refuses for what is beside the document, or for a member with a meaning of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from azure.cosmos.exceptions import CosmosBatchOperationError, CosmosHttpResponseError
from tests.emulators.cosmos.gateway import send

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from azure.cosmos.aio import ContainerProxy

ITEM = b'{"id":"1","pk":"a"}'


@pytest.mark.parametrize(("method", "path"), [("POST", "docs"), ("PUT", "docs/1"), ("DELETE", "docs/1")])
async def test_a_write_needs_a_partition_key(container: ContainerProxy, method: str, path: str) -> None:
    await container.create_item({"id": "1", "pk": "a", "n": 1})
    refused = send(container, method, path, body=ITEM)
    assert refused.status == 400
    assert "PartitionKey value must be supplied" in refused.json["message"]
    assert (await container.read_item("1", "a"))["n"] == 1


@pytest.mark.parametrize("option", ["pre_trigger_include", "post_trigger_include"])
async def test_a_trigger_that_does_not_exist_is_not_left_out_silently(container: ContainerProxy, option: str) -> None:
    trigger: dict[str, Any] = {option: "stamp"}
    await container.create_item({"id": "1", "pk": "a"})
    writes: list[Callable[[], Awaitable[object]]] = [
        lambda: container.create_item({"id": "2", "pk": "a"}, **trigger),
        lambda: container.upsert_item({"id": "2", "pk": "a"}, **trigger),
        lambda: container.replace_item("1", {"id": "1", "pk": "a", "n": 1}, **trigger),
        lambda: container.delete_item("1", "a", **trigger),
    ]
    for write in writes:
        with pytest.raises(CosmosHttpResponseError) as caught:
            await write()
        assert caught.value.status_code == 400
        assert "'stamp'" in caught.value.message
    assert [(item["id"], item.get("n")) async for item in container.read_all_items()] == [("1", None)]


@pytest.mark.parametrize("more", [{}, {"_ts": 5}], ids=["as it comes", "with a system property"])
async def test_a_time_to_live_is_never_null(container: ContainerProxy, more: dict[str, Any]) -> None:
    await container.create_item({"id": "1", "pk": "a"})
    document = {"id": "2", "pk": "a", "ttl": None, **more}
    writes: list[Callable[[], Awaitable[object]]] = [
        lambda: container.create_item(document),
        lambda: container.execute_item_batch([("upsert", (document,))], "a"),
        lambda: container.patch_item("1", "a", [{"op": "set", "path": "/ttl", "value": None}]),
    ]
    for write in writes:
        with pytest.raises((CosmosHttpResponseError, CosmosBatchOperationError)) as caught:
            await write()
        assert caught.value.status_code == 400
    assert [item["id"] async for item in container.read_all_items()] == ["1"]
