"""Refusals in the service's own words: clients and their tests look for them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from azure.cosmos import CosmosClient as SyncClient
from azure.cosmos import PartitionKey, ThroughputProperties
from azure.cosmos.exceptions import CosmosHttpResponseError, CosmosResourceNotFoundError
from tests.emulators.cosmos.gateway import send

if TYPE_CHECKING:
    from azure.cosmos.aio import ContainerProxy, DatabaseProxy
    from tests.servers.cosmos import CosmosServer

TOO_LONG = "n" * 1100


@pytest.mark.parametrize(
    ("paths", "kind"), [(["/a", "/b", "/c", "/d"], "MultiHash"), (["/a", "/b", "/c", "/d"], "Hash")]
)
async def test_a_partition_key_of_four_paths(database: DatabaseProxy, paths: list[str], kind: str) -> None:
    definition: Any = {"paths": paths, "kind": kind, "version": 2}
    with pytest.raises(CosmosHttpResponseError, match="Too many partition key paths") as caught:
        await database.create_container("refused", definition)
    assert caught.value.status_code == 400


async def test_names_that_are_too_long(database: DatabaseProxy, container: ContainerProxy) -> None:
    with pytest.raises(CosmosHttpResponseError, match=r"non-empty string less than '255' characters\."):
        await database.create_container(TOO_LONG, PartitionKey("/pk"))
    with pytest.raises(CosmosHttpResponseError, match=r"non-empty string less than '1024' characters\."):
        await container.create_item({"id": TOO_LONG, "pk": "a"})


@pytest.mark.parametrize(
    ("operations", "words"),
    [(0, "Batch request has no operations."), (101, "Batch request has more operations than what is supported.")],
)
async def test_batches_of_no_or_too_many_operations(container: ContainerProxy, operations: int, words: str) -> None:
    batch = [("create", ({"id": str(number), "pk": "a"},)) for number in range(operations)]
    with pytest.raises(CosmosHttpResponseError, match=words) as caught:
        await container.execute_item_batch(batch, "a")
    assert caught.value.status_code == 400


async def test_the_beginning_of_a_hierarchical_key_for_a_batch(database: DatabaseProxy) -> None:
    container = await database.create_container("c", PartitionKey(["/tenant", "/user"], kind="MultiHash"))
    with pytest.raises(CosmosHttpResponseError, match="Partition key provided either doesn't correspond") as caught:
        await container.execute_item_batch([("create", ({"id": "1", "tenant": "a", "user": "b"},))], ["a"])
    assert (caught.value.status_code, caught.value.sub_status) == (400, 1001)


def test_a_query_for_an_empty_hierarchical_key(server: CosmosServer, database: DatabaseProxy) -> None:
    with SyncClient(server.endpoint, server.account_key) as client:
        key = PartitionKey(["/tenant", "/user"], kind="MultiHash")
        container = client.get_database_client(database.id).create_container("c", key)
        with pytest.raises(CosmosHttpResponseError, match="Cross partition query is required but disabled") as caught:
            list(container.query_items("SELECT * FROM c", partition_key=[]))
    assert caught.value.status_code == 400


@pytest.mark.parametrize(
    "throughput", [ThroughputProperties(auto_scale_max_throughput=-200, auto_scale_increment_percent=0), 300]
)
async def test_less_throughput_than_there_is(database: DatabaseProxy, throughput: ThroughputProperties | int) -> None:
    with pytest.raises(CosmosHttpResponseError, match="is less than required minimum throughput") as caught:
        await database.create_container("refused", PartitionKey("/pk"), offer_throughput=throughput)
    assert caught.value.status_code == 400


async def test_computed_properties_that_are_no_list(database: DatabaseProxy) -> None:
    lower: Any = {"name": "lower", "query": "SELECT VALUE LOWER(c.name) FROM c"}
    with pytest.raises(CosmosHttpResponseError, match="One of the specified inputs is invalid") as caught:
        await database.create_container("refused", PartitionKey("/pk"), computed_properties=lower)
    assert caught.value.status_code == 400


@pytest.mark.parametrize("feed", ["sprocs", "triggers", "udfs"])
def test_what_the_emulator_does_not_have_is_named_as_such(container: ContainerProxy, feed: str) -> None:
    missing = send(container, "GET", feed)
    assert missing.status == 404
    assert "not supported by this emulator" in missing.json["message"]


def test_there_are_no_conflicts_in_one_region(
    server: CosmosServer, database: DatabaseProxy, container: ContainerProxy
) -> None:
    with SyncClient(server.endpoint, server.account_key) as client:
        items = client.get_database_client(database.id).get_container_client(container.id)
        assert list(items.list_conflicts()) == []
        assert list(items.query_conflicts("SELECT * FROM c", partition_key="a")) == []
        assert list(items.query_conflicts("SELECT * FROM c", enable_cross_partition_query=True)) == []
        with pytest.raises(CosmosHttpResponseError, match="Cross partition query is required but disabled"):
            list(items.query_conflicts("SELECT * FROM c"))
        for call in (items.get_conflict, items.delete_conflict):
            with pytest.raises(CosmosResourceNotFoundError):
                call("1", partition_key="a")


async def test_a_continuation_token_of_azure(container: ContainerProxy) -> None:
    await container.create_item({"id": "1", "pk": "a"})
    pages = container.query_items("SELECT * FROM c").by_page("-RID:~a0NPAOszCpOChB4AAAAAAA==#RT:1#TRC:2#ISV:2")
    with pytest.raises(
        CosmosHttpResponseError, match="that Azure has made are not supported by this emulator"
    ) as caught:
        await anext(pages)
    assert caught.value.status_code == 400
