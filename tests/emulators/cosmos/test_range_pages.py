"""Pages of queries over several partition key ranges: each is of one range, as the service's gateway asks them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from azure.cosmos import PartitionKey
from azure.cosmos.aio import CosmosClient
from tests.emulators.cosmos.gateway import ask, send

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from azure.cosmos.aio import ContainerProxy
    from tests.servers.answer import Answer
    from tests.servers.cosmos import CosmosServer

RANGES = 4
ITEMS = 24
PARTITIONS = 6


@pytest.fixture
async def ranged(ranged_server: CosmosServer) -> AsyncIterator[ContainerProxy]:
    """Items in six partitions over four ranges."""
    async with CosmosClient(ranged_server.endpoint, ranged_server.account_key) as client:
        database = await client.create_database_if_not_exists("range-pages")
        container = await database.create_container_if_not_exists("items", PartitionKey("/pk"))
        for number in range(ITEMS):
            await container.upsert_item({"id": str(number), "pk": f"p{number % PARTITIONS}", "n": number})
        yield container


def follow(container: ContainerProxy, query: str, **headers: str) -> list[Answer]:
    """All pages of a query."""
    pages = [ask(container, query, **headers)]
    while token := pages[-1].headers.get("x-ms-continuation"):
        pages.append(ask(container, query, x_ms_continuation=token, **headers))
    assert all(page.status == 200 for page in pages)
    return pages


def documents(page: Answer) -> list[Any]:
    found: list[Any] = page.json["Documents"]
    return found


def of_range(container: ContainerProxy, query: str, number: int) -> list[Any]:
    """What one range alone answers."""
    return documents(ask(container, query, x_ms_documentdb_partitionkeyrangeid=str(number)))


@pytest.mark.parametrize("query", ["SELECT * FROM c", "SELECT VALUE c.n FROM c WHERE c.n < 12"])
async def test_a_page_holds_the_results_of_one_range_even_if_there_are_none(ranged: ContainerProxy, query: str) -> None:
    pages = [documents(page) for page in follow(ranged, query)]
    assert pages == [of_range(ranged, query, number) for number in range(RANGES)]
    nothing = follow(ranged, "SELECT * FROM c WHERE c.n < 0")
    assert [documents(page) for page in nothing] == [[]] * RANGES


async def test_no_page_mixes_ranges_however_small_pages_are(ranged: ContainerProxy) -> None:
    query = "SELECT VALUE c.n FROM c"
    parts = [of_range(ranged, query, number) for number in range(RANGES)]
    pages = [documents(page) for page in follow(ranged, query, x_ms_max_item_count="3")]
    assert [n for page in pages for n in page] == [n for part in parts for n in part]
    assert all(any(set(page) <= set(part) for part in parts) for page in pages)


async def test_a_feed_goes_from_range_to_range_as_well(ranged: ContainerProxy) -> None:
    first = send(ranged, "GET", "docs")
    assert documents(first) == of_range(ranged, "SELECT * FROM c", 0)
    following = send(ranged, "GET", "docs", headers={"x-ms-continuation": first.headers["x-ms-continuation"]})
    assert documents(following) == of_range(ranged, "SELECT * FROM c", 1)


async def test_a_query_for_one_partition_key_has_one_page(ranged: ContainerProxy) -> None:
    (page,) = follow(ranged, "SELECT VALUE c.n FROM c WHERE c.pk = 'p1'")
    assert documents(page) == [1, 7, 13, 19]


async def test_a_query_without_documents_is_answered_once(ranged: ContainerProxy) -> None:
    (page,) = follow(ranged, "SELECT VALUE 1")
    assert documents(page) == [1]


async def test_the_sdk_reads_over_pages_without_results(ranged: ContainerProxy) -> None:
    assert [item["n"] async for item in ranged.query_items("SELECT * FROM c WHERE c.n = 5")] == [5]
    pages = ranged.query_items("SELECT * FROM c WHERE c.n < 6", max_item_count=2).by_page()
    sizes = [len([item async for item in page]) async for page in pages]
    assert sum(sizes) == 6
    assert 0 not in sizes


async def test_a_full_page_does_not_tell_whether_it_is_the_last(container: ContainerProxy) -> None:
    for number in range(4):
        await container.create_item({"id": str(number), "pk": "a"})
    sizes = [len(documents(page)) for page in follow(container, "SELECT * FROM c", x_ms_max_item_count="2")]
    assert sizes == [2, 2, 0]
    sizes = [len(documents(page)) for page in follow(container, "SELECT * FROM c", x_ms_max_item_count="3")]
    assert sizes == [3, 1]
    # What is sorted is known to its end.
    partition = {"x_ms_documentdb_partitionkey": '["a"]', "x_ms_max_item_count": "2"}
    assert [len(documents(page)) for page in follow(container, "SELECT * FROM c ORDER BY c.id", **partition)] == [2, 2]
    assert [len(documents(page)) for page in follow(container, "SELECT TOP 2 * FROM c", **partition)] == [2]
