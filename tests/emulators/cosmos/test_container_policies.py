"""What a container's definition asks for is done or refused, never forgotten."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from azure.cosmos import PartitionKey
from azure.cosmos.exceptions import CosmosHttpResponseError
from tests.emulators.cosmos.test_queries import select

if TYPE_CHECKING:
    from azure.cosmos.aio import ContainerProxy, DatabaseProxy

LOWER = [{"name": "lower", "query": "SELECT VALUE LOWER(c.name) FROM c"}]


async def test_a_computed_property_is_used_like_a_property(database: DatabaseProxy) -> None:
    container = await database.create_container("computed", PartitionKey("/pk"), computed_properties=LOWER)
    for number, name in enumerate(["ABC", "Abd"]):
        await container.create_item({"id": str(number), "pk": "a", "name": name})
    assert await select(container, "SELECT VALUE c.lower FROM c", partition_key="a") == ["abc", "abd"]
    assert await select(container, "SELECT VALUE c.id FROM c WHERE c.lower = 'abd'", partition_key="a") == ["1"]
    ordered = "SELECT VALUE c.id FROM c ORDER BY c.lower DESC"
    assert await select(container, ordered, partition_key="a") == ["1", "0"]
    assert "lower" not in (await container.read_item("0", "a"))
    assert (await container.read())["computedProperties"] == LOWER


@pytest.mark.parametrize(
    "policy",
    [
        {"computed_properties": [{"name": "id", "query": "SELECT VALUE LOWER(c.name) FROM c"}]},
        {"computed_properties": [{"name": "x", "query": "SELECT c.name FROM c"}]},
        {"computed_properties": [{"name": "x", "query": "SELECT VALUE NOSUCH(c.name) FROM c"}]},
        {"vector_embedding_policy": {"vectorEmbeddings": [{"path": "/v", "dataType": "float32", "dimensions": 3}]}},
        {"full_text_policy": {"defaultLanguage": "en-US", "fullTextPaths": [{"path": "/t", "language": "en-US"}]}},
        {"indexing_policy": {"indexingMode": "bogus"}},
        {"indexing_policy": {"includedPaths": [{"path": "no/slash"}]}},
        {"indexing_policy": {"compositeIndexes": [[{"path": "/a"}]]}},
        {"indexing_policy": {"vectorIndexes": [{"path": "/v", "type": "flat"}]}},
    ],
)
async def test_a_policy_that_the_emulator_cannot_follow_is_refused(
    database: DatabaseProxy, policy: dict[str, Any]
) -> None:
    with pytest.raises(CosmosHttpResponseError) as caught:
        await database.create_container("refused", PartitionKey("/pk"), **policy)
    assert caught.value.status_code == 400


async def test_an_indexing_policy_is_completed_as_the_service_does(database: DatabaseProxy) -> None:
    container = await database.create_container(
        "completed", PartitionKey("/pk"), indexing_policy={"indexingMode": "consistent"}
    )
    policy = (await container.read())["indexingPolicy"]
    assert policy["includedPaths"] == [{"path": "/*"}]
    assert policy["excludedPaths"] == [{"path": '/"_etag"/?'}]


async def test_the_root_alone_is_a_path_as_older_clients_write_it(database: DatabaseProxy) -> None:
    policy: Any = {"includedPaths": [{"path": "/", "indexes": [{"kind": "Range", "dataType": "String"}]}]}
    container = await database.create_container("root", PartitionKey("/pk"), indexing_policy=policy)
    assert (await container.read())["indexingPolicy"]["includedPaths"] == [{"path": "/*"}]
    await container.create_item({"id": "1", "pk": "a", "n": 1})
    assert await select(container, "SELECT VALUE c.id FROM c ORDER BY c.n", partition_key="a") == ["1"]


INDEXES: Any = {
    "includedPaths": [{"path": "/*"}],
    "excludedPaths": [{"path": "/hidden/*"}],
    "compositeIndexes": [[{"path": "/x", "order": "ascending"}, {"path": "/y", "order": "descending"}]],
}


@pytest.fixture
async def indexed(database: DatabaseProxy) -> ContainerProxy:
    """A container with an excluded path and a composite index."""
    container = await database.create_container("indexed", PartitionKey("/pk"), indexing_policy=INDEXES)
    for number in range(4):
        await container.create_item({"id": str(number), "pk": "a", "x": number % 2, "y": number, "hidden": number})
    return container


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        ("c.x, c.y DESC", ["2", "0", "3", "1"]),
        ("c.x DESC, c.y", ["1", "3", "0", "2"]),
        ("c.y DESC", ["3", "2", "1", "0"]),
    ],
)
async def test_an_order_with_an_index_is_given(indexed: ContainerProxy, order: str, expected: list[str]) -> None:
    query = " ".join(("SELECT VALUE c.id FROM c ORDER BY", order))
    assert await select(indexed, query, partition_key="a", max_item_count=1) == expected


@pytest.mark.parametrize("order", ["c.x, c.y", "c.y, c.x DESC", "c.hidden", "c.hidden.more", "c.x + 1", "LOWER(c.x)"])
async def test_an_order_without_an_index_is_refused(indexed: ContainerProxy, order: str) -> None:
    with pytest.raises(CosmosHttpResponseError) as caught:
        await select(indexed, " ".join(("SELECT VALUE c.id FROM c ORDER BY", order)), partition_key="a")
    assert caught.value.status_code == 400
