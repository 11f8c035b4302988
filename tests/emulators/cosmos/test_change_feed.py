"""The change feed through the real SDK."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from azure.cosmos import PartitionKey
from azure.cosmos.aio import CosmosClient
from azure.cosmos.exceptions import CosmosHttpResponseError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from azure.cosmos.aio import ContainerProxy
    from tests.servers.cosmos import CosmosServer

ITEMS = 40


async def fill(container: ContainerProxy, count: int = ITEMS) -> None:
    for number in range(count):
        await container.create_item({"id": f"i{number}", "pk": f"p{number % 6}", "n": number})


async def read(container: ContainerProxy, **options: Any) -> list[dict[str, Any]]:
    return [item async for item in container.query_items_change_feed(**options)]


async def read_page(container: ContainerProxy, **options: Any) -> list[dict[str, Any]]:
    pages = container.query_items_change_feed(max_item_count=2, **options).by_page()
    async for page in pages:
        return [item async for item in page]
    return []


@pytest.fixture
async def ranged_container(ranged_server: CosmosServer) -> AsyncIterator[ContainerProxy]:
    """A container in an emulator with four partition key ranges."""
    async with CosmosClient(ranged_server.endpoint, ranged_server.account_key) as client:
        database = await client.create_database_if_not_exists("feeds")
        container = await database.create_container(f"items-{datetime.now(UTC).timestamp()}", PartitionKey("/pk"))
        yield container


async def test_all_changes_come_in_the_order_of_their_writes(container: ContainerProxy) -> None:
    await fill(container)
    await container.upsert_item({"id": "i3", "pk": "p3", "n": -3})
    changes = await read(container, start_time="Beginning", max_item_count=7)
    assert [item["id"] for item in changes] == [f"i{number}" for number in range(ITEMS) if number != 3] + ["i3"]
    assert changes[-1]["n"] == -3
    sequence = [item["_lsn"] for item in changes]
    assert sequence == sorted(set(sequence))


async def test_a_continuation_goes_on_where_the_last_read_ended(container: ContainerProxy) -> None:
    await fill(container, 10)
    await read(container, start_time="Beginning")
    token = container.client_connection.last_response_headers["etag"]
    assert await read(container, continuation=token) == []
    await container.create_item({"id": "new", "pk": "p1"})
    await container.upsert_item({"id": "i1", "pk": "p1", "n": 100})
    assert [item["id"] for item in await read(container, continuation=token)] == ["new", "i1"]


async def test_a_feed_from_now_sees_only_what_comes(container: ContainerProxy) -> None:
    await fill(container, 5)
    assert await read(container, start_time="Now") == []
    token = container.client_connection.last_response_headers["etag"]
    await container.create_item({"id": "new", "pk": "p1"})
    assert [item["id"] for item in await read(container, continuation=token)] == ["new"]


async def test_a_feed_from_a_point_in_time_leaves_out_what_was_before(container: ContainerProxy) -> None:
    await fill(container, 5)
    assert len(await read(container, start_time=datetime.now(UTC) - timedelta(minutes=1))) == 5
    assert await read(container, start_time=datetime.now(UTC) + timedelta(minutes=1)) == []


async def test_a_feed_of_one_partition_sees_only_that(container: ContainerProxy) -> None:
    await fill(container)
    changes = await read(container, start_time="Beginning", partition_key="p2")
    assert [item["n"] for item in changes] == list(range(2, ITEMS, 6))


async def test_feed_ranges_together_see_everything_once(ranged_container: ContainerProxy) -> None:
    await fill(ranged_container)
    ranges = [feed_range async for feed_range in ranged_container.read_feed_ranges()]
    assert len(ranges) == 4
    parts = [await read(ranged_container, start_time="Beginning", feed_range=feed_range) for feed_range in ranges]
    assert sum(bool(part) for part in parts) > 1
    assert sorted(item["n"] for part in parts for item in part) == list(range(ITEMS))
    everything = await read(ranged_container, start_time="Beginning", max_item_count=3)
    assert sorted(item["n"] for item in everything) == list(range(ITEMS))


async def test_changes_of_a_range_come_in_order_page_by_page(ranged_container: ContainerProxy) -> None:
    await fill(ranged_container)
    await ranged_container.upsert_item({"id": "i3", "pk": "p3", "n": ITEMS})
    await ranged_container.delete_item("i9", "p3")
    seen = []
    async for feed_range in ranged_container.read_feed_ranges():
        options: dict[str, Any] = {"start_time": "Beginning", "feed_range": feed_range}
        part: list[dict[str, Any]] = []
        # The SDK hands out a token after each page; every one is tried.
        while page := await read_page(ranged_container, **options):
            part += page
            options = {"continuation": ranged_container.client_connection.last_response_headers["etag"]}
        sequence = [item["_lsn"] for item in part]
        assert sequence == sorted(set(sequence))
        seen += [item["n"] for item in part]
    assert sorted(seen) == sorted({*range(ITEMS), ITEMS} - {3, 9})


async def test_a_token_of_all_ranges_goes_on_in_each(ranged_container: ContainerProxy) -> None:
    await fill(ranged_container)
    await read(ranged_container, start_time="Beginning")
    token = ranged_container.client_connection.last_response_headers["etag"]
    assert await read(ranged_container, continuation=token) == []
    for key in range(6):
        await ranged_container.create_item({"id": "later", "pk": f"p{key}", "n": key})
    assert sorted(item["n"] for item in await read(ranged_container, continuation=token)) == list(range(6))


async def test_the_sdk_finds_the_range_of_a_partition_key(ranged_container: ContainerProxy) -> None:
    await fill(ranged_container)
    feed_range = await ranged_container.feed_range_from_partition_key("p4")
    changes = await read(ranged_container, start_time="Beginning", feed_range=feed_range)
    assert [item["n"] for item in changes] == list(range(4, ITEMS, 6))


async def test_deleted_items_leave_the_feed(container: ContainerProxy) -> None:
    await fill(container, 3)
    await container.delete_item("i1", "p1")
    assert [item["id"] for item in await read(container, start_time="Beginning")] == ["i0", "i2"]


async def test_the_mode_with_all_versions_is_refused(container: ContainerProxy) -> None:
    with pytest.raises(CosmosHttpResponseError) as caught:
        await read(container, mode="AllVersionsAndDeletes")
    assert caught.value.status_code == 400
    assert "not supported by this emulator" in caught.value.message


async def test_a_page_never_cuts_a_transaction_and_its_items_have_one_number(container: ContainerProxy) -> None:
    batch = [("create", ({"id": str(number), "pk": "a"},)) for number in range(10)]
    await container.execute_item_batch(batch, "a")
    await container.create_item({"id": "later", "pk": "a"})
    pages = container.query_items_change_feed(start_time="Beginning", partition_key="a", max_item_count=3).by_page()
    first = [item async for item in await pages.__anext__()]
    assert [item["id"] for item in first] == [str(number) for number in range(10)]
    assert len({item["_lsn"] for item in first}) == 1
    assert [item["id"] async for item in await pages.__anext__()] == ["later"]
