"""Single items, with the real SDK."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from azure.core import MatchConditions
from azure.cosmos import PartitionKey
from azure.cosmos.exceptions import (
    CosmosAccessConditionFailedError,
    CosmosHttpResponseError,
    CosmosResourceExistsError,
    CosmosResourceNotFoundError,
)

if TYPE_CHECKING:
    from azure.cosmos.aio import ContainerProxy, DatabaseProxy


async def test_a_created_item_can_be_read_with_its_system_properties(container: ContainerProxy) -> None:
    created = await container.create_item({"id": "1", "pk": "a", "größe": "é", "nested": {"list": [1, 2.5, None]}})
    read = await container.read_item("1", "a")
    assert read == created
    assert read["nested"] == {"list": [1, 2.5, None]}
    assert {"_rid", "_self", "_etag", "_attachments", "_ts"} <= read.keys()


async def test_the_same_id_can_be_created_once_in_a_partition_but_again_in_another(container: ContainerProxy) -> None:
    await container.create_item({"id": "1", "pk": "a"})
    with pytest.raises(CosmosResourceExistsError):
        await container.create_item({"id": "1", "pk": "a"})
    await container.create_item({"id": "1", "pk": "b"})


async def test_a_missing_item_is_not_found(container: ContainerProxy) -> None:
    with pytest.raises(CosmosResourceNotFoundError):
        await container.read_item("1", "a")
    with pytest.raises(CosmosResourceNotFoundError):
        await container.replace_item("1", {"id": "1", "pk": "a"})
    with pytest.raises(CosmosResourceNotFoundError):
        await container.delete_item("1", "a")


async def test_a_deleted_item_is_gone_and_its_id_is_free(container: ContainerProxy) -> None:
    await container.create_item({"id": "1", "pk": "a"})
    await container.delete_item("1", "a")
    with pytest.raises(CosmosResourceNotFoundError):
        await container.read_item("1", "a")
    await container.create_item({"id": "1", "pk": "a", "again": True})
    assert (await container.read_item("1", "a"))["again"] is True


async def test_an_upsert_creates_then_replaces_and_keeps_the_resource_id(container: ContainerProxy) -> None:
    first = await container.upsert_item({"id": "1", "pk": "a", "n": 1})
    second = await container.upsert_item({**first, "n": 2})
    assert (await container.read_item("1", "a"))["n"] == 2
    assert second["_rid"] == first["_rid"]
    assert second["_etag"] != first["_etag"]


async def test_a_replace_with_a_stale_etag_is_refused(container: ContainerProxy) -> None:
    first = await container.create_item({"id": "1", "pk": "a", "n": 1})
    current = await container.replace_item(
        "1", {**first, "n": 2}, etag=first["_etag"], match_condition=MatchConditions.IfNotModified
    )
    with pytest.raises(CosmosAccessConditionFailedError):
        await container.replace_item(
            "1", {**first, "n": 3}, etag=first["_etag"], match_condition=MatchConditions.IfNotModified
        )
    assert (await container.read_item("1", "a"))["_etag"] == current["_etag"]


async def test_a_replace_with_another_id_renames_the_item(container: ContainerProxy) -> None:
    before = await container.create_item({"id": "old", "pk": "a"})
    await container.create_item({"id": "taken", "pk": "a"})
    await container.create_item({"id": "new", "pk": "b"})
    with pytest.raises(CosmosResourceExistsError):
        await container.replace_item("old", {"id": "taken", "pk": "a"})
    after = await container.replace_item("old", {"id": "new", "pk": "a", "n": 1})
    assert (after["id"], after["n"], after["_rid"]) == ("new", 1, before["_rid"])
    assert (await container.read_item("new", "a"))["n"] == 1
    with pytest.raises(CosmosResourceNotFoundError):
        await container.read_item("old", "a")
    found = container.query_items("SELECT VALUE c.n FROM c WHERE c.id = 'new'", partition_key="a")
    values: list[object] = [value async for value in found]
    assert values == [1]
    await container.create_item({"id": "old", "pk": "a"})
    await container.delete_item("new", "a")


async def test_a_read_of_an_unchanged_item_is_answered_without_it(container: ContainerProxy) -> None:
    created = await container.create_item({"id": "1", "pk": "a"})
    unchanged = await container.read_item("1", "a", etag=created["_etag"], match_condition=MatchConditions.IfModified)
    assert not unchanged
    await container.replace_item("1", {**created, "n": 1})
    changed = await container.read_item("1", "a", etag=created["_etag"], match_condition=MatchConditions.IfModified)
    assert changed["n"] == 1


async def test_a_document_in_another_partition_than_the_header_says_is_refused(container: ContainerProxy) -> None:
    with pytest.raises(CosmosHttpResponseError) as caught:
        await container.client_connection.CreateItem(
            container.container_link, {"id": "1", "pk": "a"}, {"partitionKey": "b"}
        )
    assert (caught.value.status_code, caught.value.sub_status) == (400, 1001)


async def test_a_write_without_an_answer_still_gives_the_etag(container: ContainerProxy) -> None:
    result = await container.create_item({"id": "1", "pk": "a"}, no_response=True)
    assert not result
    assert result.get_response_headers()["etag"] == (await container.read_item("1", "a"))["_etag"]


@pytest.mark.parametrize("value", [None, True, False, 3, 2.5, "text", ""])
async def test_every_kind_of_partition_key_value_can_be_used(container: ContainerProxy, value: Any) -> None:
    await container.create_item({"id": "1", "pk": value})
    assert (await container.read_item("1", value))["pk"] == value


@pytest.mark.parametrize(
    "document",
    [
        {"id": "", "pk": "a"},
        {"id": "x" * 1024, "pk": "a"},
        {"id": "x", "pk": "a" * 2049},
        {"id": "x", "pk": "é" * 1025},
        {"id": "1", "pk": "a", "ttl": 0},
        {"id": "1", "pk": "a", "ttl": "soon"},
    ],
)
async def test_a_document_that_cannot_be_stored_is_refused(container: ContainerProxy, document: dict[str, Any]) -> None:
    with pytest.raises((CosmosHttpResponseError, ValueError)) as caught:
        await container.create_item(document)
    assert getattr(caught.value, "status_code", 400) == 400


async def test_a_partition_key_path_may_hold_quotes_and_slashes(database: DatabaseProxy) -> None:
    container = await database.create_container("quoted", PartitionKey('/\'first level" 1*()\'/"le/vel"'))
    await container.create_item({"id": "1", 'first level" 1*()': {"le/vel": "x"}})
    assert (await container.read_item("1", "x"))["id"] == "1"


async def test_a_partition_key_path_that_leads_to_an_object_leads_to_nothing(database: DatabaseProxy) -> None:
    container = await database.create_container("addresses", PartitionKey("/address"))
    await container.create_item({"id": "1", "address": {"city": "here"}})
    found = [item["address"] async for item in container.read_all_items()]
    assert found == [{"city": "here"}]


@pytest.mark.filterwarnings("ignore:Sending a large body:ResourceWarning")
async def test_a_document_beyond_two_megabytes_is_refused(container: ContainerProxy) -> None:
    await container.create_item({"id": "1", "pk": "a", "text": "x" * (2 * 1024 * 1024 - 100)})
    with pytest.raises(CosmosHttpResponseError) as caught:
        await container.create_item({"id": "2", "pk": "a", "text": "x" * (2 * 1024 * 1024)})
    assert caught.value.status_code == 413
