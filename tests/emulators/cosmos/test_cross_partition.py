"""What the service's gateway refuses over several partitions, and what it leaves to an SDK, is so here too."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from azure.cosmos import CosmosClient as SyncClient
from azure.cosmos.exceptions import CosmosHttpResponseError
from tests.emulators.cosmos.gateway import CROSSING, ask, plan, select_by_plan, send
from tests.emulators.cosmos.test_queries import select

if TYPE_CHECKING:
    from azure.cosmos.aio import ContainerProxy, DatabaseProxy
    from tests.servers.cosmos import CosmosServer

NOT_SERVABLE = "1004"


@pytest.fixture
async def items(container: ContainerProxy) -> ContainerProxy:
    """Four items in two partitions."""
    for number in range(4):
        await container.create_item({"id": str(number), "pk": "ab"[number % 2], "n": number})
    return container


async def test_a_query_over_partitions_has_to_say_so(
    server: CosmosServer, database: DatabaseProxy, items: ContainerProxy
) -> None:
    with SyncClient(server.endpoint, server.account_key) as client:
        container = client.get_database_client(database.id).get_container_client(items.id)
        with pytest.raises(CosmosHttpResponseError) as caught:
            list(container.query_items("SELECT * FROM c WHERE c.n > 1"))
        assert caught.value.status_code == 400
        assert "x-ms-documentdb-query-enablecrosspartition" in caught.value.message
        found = container.query_items("SELECT VALUE c.id FROM c WHERE c.n > 1", enable_cross_partition_query=True)
        assert sorted(map(str, found)) == ["2", "3"]
        assert list(container.query_items("SELECT VALUE c.n FROM c WHERE c.pk = 'a' ORDER BY c.n DESC")) == [2, 0]
        assert list(container.query_items("SELECT VALUE COUNT(1) FROM c", partition_key="b")) == [2]


@pytest.mark.parametrize(
    "query",
    [
        "SELECT * FROM c ORDER BY c.n",
        "SELECT TOP 1 * FROM c",
        "SELECT * FROM c OFFSET 1 LIMIT 1",
        "SELECT DISTINCT VALUE c.pk FROM c",
        "SELECT VALUE COUNT(1) FROM c",
        "SELECT VALUE {'n': [1 + MAX(c.n)]} FROM c",
        "SELECT c.pk FROM c GROUP BY c.pk",
    ],
)
async def test_the_gateway_sends_clients_to_the_plan_for_what_has_to_be_merged(
    items: ContainerProxy, query: str
) -> None:
    refused = ask(items, query)
    assert (refused.status, refused.headers["x-ms-substatus"]) == (400, NOT_SERVABLE)
    assert ask(items, query, x_ms_documentdb_partitionkey='["a"]').status == 200
    assert ask(items, query, x_ms_documentdb_partitionkeyrangeid="0").status == 200
    assert select_by_plan(items, query)


@pytest.mark.parametrize(
    "query",
    [
        "SELECT c.id, ARRAY(SELECT VALUE t FROM t IN c.tags ORDER BY t) AS tags FROM c",
        "SELECT VALUE (SELECT VALUE COUNT(1) FROM t IN c.tags) FROM c",
        "SELECT VALUE c.n + 1 FROM c WHERE c.n >= 0",
    ],
)
async def test_the_gateway_answers_what_each_document_decides(items: ContainerProxy, query: str) -> None:
    answered = ask(items, query)
    assert answered.status == 200
    assert len(answered.json["Documents"]) == 4


@pytest.mark.parametrize(
    ("query", "missing"),
    [
        ("SELECT COUNT(1) FROM c", "NonValueAggregate"),
        ("SELECT COUNT(1) + 5 FROM c", "NonValueAggregate"),
        ("SELECT COUNT(1) AS a, SUM(c.n) AS b FROM c", "MultipleAggregates, NonValueAggregate"),
        ("SELECT VALUE {'a': COUNT(1), 'b': SUM(c.n)} FROM c", "MultipleAggregates"),
        ("SELECT c.pk, COUNT(1) AS n FROM c GROUP BY c.pk", "GroupBy, NonValueAggregate"),
    ],
)
async def test_the_python_sdk_gets_no_answers_that_it_could_not_merge_on_azure(
    items: ContainerProxy, query: str, missing: str
) -> None:
    with pytest.raises(CosmosHttpResponseError) as caught:
        await select(items, query)
    assert caught.value.status_code == 400
    assert f"does not support {missing}." in caught.value.message
    assert len(await select(items, query, partition_key="a")) == 1


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("SELECT VALUE COUNT(1) FROM c", [4]),
        ("SELECT VALUE AVG(c.n) FROM c", [1.5]),
        ("SELECT TOP 2 VALUE c.n FROM c ORDER BY c.n DESC", [3, 2]),
        ("SELECT VALUE c.n FROM c ORDER BY c.n OFFSET 1 LIMIT 2", [1, 2]),
        ("SELECT DISTINCT VALUE c.pk FROM c ORDER BY c.pk", ["a", "b"]),
    ],
)
async def test_the_python_sdk_gets_the_rest_by_a_plan(
    items: ContainerProxy, query: str, expected: list[object]
) -> None:
    assert await select(items, query) == expected


@pytest.mark.parametrize(
    "query",
    [
        "SELECT VALUE AVG(c.pk) FROM c",
        "SELECT VALUE MAX(c.nosuch) FROM c",
        "SELECT VALUE MIN(c.nosuch) FROM c",
        "SELECT VALUE SUM(c.pk) FROM c",
    ],
)
async def test_an_aggregate_that_is_undefined_everywhere_is_none_once_the_python_sdk_has_merged_it(
    items: ContainerProxy, query: str
) -> None:
    assert await select(items, query) == [None]
    assert await select(items, f"{query} ORDER BY c.n") == [None]
    assert await select(items, query, partition_key="a") == []
    assert select_by_plan(items, query) == []


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("SELECT TOP 10 VALUE COUNT(1) FROM c", {"top": 10, "aggregates": ["Count"], "hasSelectValue": True}),
        ("SELECT * FROM c ORDER BY c._ts OFFSET 5 LIMIT 9", {"offset": 5, "limit": 9, "orderBy": ["Ascending"]}),
        (
            "SELECT DISTINCT VALUE c.id FROM c ORDER BY c.id DESC",
            {"distinctType": "Ordered", "orderBy": ["Descending"], "hasSelectValue": True},
        ),
        ("SELECT DISTINCT c.id FROM c", {"distinctType": "Unordered"}),
    ],
)
async def test_the_python_sdk_is_told_what_to_merge(items: ContainerProxy, query: str, told: dict[str, object]) -> None:
    nothing: dict[str, object] = {
        "top": None, "offset": None, "limit": None, "orderBy": [], "aggregates": [], "distinctType": "None",
        "hasSelectValue": False,
    }  # fmt: skip
    planned = plan(items, query, user_agent="azsdk-python-cosmos/4.17.1").json["queryInfo"]
    assert {name: planned[name] for name in nothing} == nothing | told
    assert {name: plan(items, query).json["queryInfo"][name] for name in nothing} == nothing


async def test_the_python_sdk_orders_values_of_all_types_that_it_gets_by_a_plan(container: ContainerProxy) -> None:
    values: list[object] = [None, False, 2.5, "ü", [1, "a"], {"a": None}]
    for number, value in enumerate(values):
        await container.create_item({"id": str(number), "pk": str(number), "v": value})
    await container.create_item({"id": "none", "pk": "none"})
    found = await select(container, "SELECT * FROM c ORDER BY c.v")
    assert [item.get("v", "missing") for item in found] == ["missing", *values]
    assert await select(container, "SELECT VALUE c.id FROM c ORDER BY c._ts") == [*map(str, range(6)), "none"]


async def test_the_python_sdk_merges_distinct_values_as_it_does_on_azure(container: ContainerProxy) -> None:
    # It compares what it gets by Python's rules, in which 1 is true.
    for number, value in enumerate([True, 1, 2]):
        await container.create_item({"id": str(number), "pk": str(number), "v": value})
    assert await select(container, "SELECT DISTINCT VALUE c.v FROM c ORDER BY c.v") == [True, 2]
    assert select_by_plan(container, "SELECT DISTINCT VALUE c.v FROM c ORDER BY c.v") == [True, 1, 2]


async def test_offset_and_limit_of_a_plan_are_applied_once(items: ContainerProxy) -> None:
    query = "SELECT VALUE c.n FROM c ORDER BY c.n OFFSET @offset LIMIT @limit"
    assert await select(items, query, values={"@offset": 1, "@limit": 2}) == [1, 2]
    assert await select(items, "SELECT VALUE c.n FROM c OFFSET 1 LIMIT 9", max_item_count=1) == [1, 2, 3]
    assert await select(items, "SELECT DISTINCT VALUE c.pk FROM c ORDER BY c.n OFFSET 1 LIMIT 1") == ["b"]


def test_the_gateway_answers_no_aggregate_in_an_object_to_who_allows_several_partitions(
    server: CosmosServer, database: DatabaseProxy, items: ContainerProxy
) -> None:
    with SyncClient(server.endpoint, server.account_key) as client:
        container = client.get_database_client(database.id).get_container_client(items.id)
        query = "SELECT SUM(c.n) AS sum FROM c WHERE c.pk = 'a'"
        assert list(container.query_items(query)) == [{"sum": 2}]
        assert list(container.query_items(query, partition_key="a")) == [{"sum": 2}]
        with pytest.raises(CosmosHttpResponseError) as caught:
            list(container.query_items(query, enable_cross_partition_query=True))
        assert caught.value.status_code == 400


async def test_a_plan_is_refused_to_a_client_that_lacks_a_feature(items: ContainerProxy) -> None:
    assert plan(items, "SELECT TOP 1 * FROM c ORDER BY c.n", "OrderBy, Top").status == 200
    refused = plan(items, "SELECT TOP 1 * FROM c ORDER BY c.n", "OrderBy")
    assert (refused.status, refused.headers["x-ms-substatus"]) == (400, "0")
    assert "does not support Top." in refused.json["message"]


async def test_a_feed_needs_no_header_to_read_every_partition(items: ContainerProxy) -> None:
    assert len(send(items, "GET", "docs").json["Documents"]) == 4
    body = b'{"query":"SELECT * FROM c"}'
    assert send(items, "POST", "docs", body=body, headers=CROSSING).status == 200
