"""Session tokens as SDKs keep them: by container and partition key range."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from azure.cosmos import PartitionKey
from azure.cosmos.aio import CosmosClient
from tests.emulators.cosmos.gateway import ask, send

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from azure.cosmos.aio import ContainerProxy
    from tests.servers.cosmos import CosmosServer

RANGES = ("0", "1", "2", "3")
TOKEN = "x-ms-session-token"


@pytest.fixture
async def ranged_container(ranged_server: CosmosServer) -> AsyncIterator[ContainerProxy]:
    """A container in an emulator with four partition key ranges, with a name that headers cannot hold as it is."""
    async with CosmosClient(ranged_server.endpoint, ranged_server.account_key) as client:
        database = await client.create_database_if_not_exists("sessions")
        yield await database.create_container(f"gäste {uuid4()}", PartitionKey("/pk"))


async def owner(container: ContainerProxy, key: str) -> str:
    """The range that holds a partition key, as the SDK computes it."""
    mine = await container.feed_range_from_partition_key(key)
    ranges = [each async for each in container.read_feed_ranges()]
    found = [str(number) for number, each in enumerate(ranges) if await container.is_feed_range_subset(each, mine)]
    assert len(found) == 1
    return found[0]


def tokens(headers: Any) -> dict[str, int]:
    """The sequence number of each range."""
    pairs = [part.split(":") for part in headers[TOKEN].split(",")]
    return {number: int(vector.removeprefix("-1#")) for number, vector in pairs}


@pytest.mark.parametrize("key", ["a", "b", "c", "d", "é"])
async def test_the_token_of_an_item_is_that_of_its_range(ranged_container: ContainerProxy, key: str) -> None:
    item = await ranged_container.create_item({"id": "1", "pk": key})
    headers = item.get_response_headers()
    expected = await owner(ranged_container, key)
    assert list(tokens(headers)) == [headers["x-ms-documentdb-partitionkeyrangeid"]] == [expected]
    await ranged_container.execute_item_batch([("read", ("1",))], key)
    assert list(tokens(ranged_container.client_connection.last_response_headers)) == [expected]


async def test_the_sdk_sends_the_token_of_what_it_has_written(ranged_container: ContainerProxy) -> None:
    sent: list[str | None] = []
    item = await ranged_container.create_item({"id": "1", "pk": "a"})
    await ranged_container.read_item(
        "1", "a", raw_request_hook=lambda request: sent.append(request.http_request.headers.get(TOKEN))
    )
    assert sent == [item.get_response_headers()[TOKEN]]


async def test_tokens_rise_with_every_write(ranged_container: ContainerProxy) -> None:
    seen: list[int] = []
    for number in range(3):
        item = await ranged_container.upsert_item({"id": "1", "pk": "a", "n": number})
        seen += tokens(item.get_response_headers()).values()
    assert seen == sorted(set(seen))


async def test_an_answer_over_partitions_has_the_tokens_of_all_ranges(ranged_container: ContainerProxy) -> None:
    assert tuple(tokens(ask(ranged_container, "SELECT * FROM c").headers)) == RANGES
    assert tuple(tokens(send(ranged_container, "GET", "docs").headers)) == RANGES
    part = ask(ranged_container, "SELECT * FROM c", x_ms_documentdb_partitionkeyrangeid="2")
    assert list(tokens(part.headers)) == [part.headers["x-ms-documentdb-partitionkeyrangeid"]] == ["2"]


async def test_an_answer_names_its_container_in_ascii(ranged_container: ContainerProxy) -> None:
    definition = await ranged_container.read()
    item = await ranged_container.create_item({"id": "1", "pk": "a"})
    headers = item.get_response_headers()
    assert headers["x-ms-alt-content-path"] == f"dbs/sessions/colls/{ranged_container.id.replace('ä', '%C3%A4')}"
    assert headers["x-ms-content-path"] == definition["_rid"]


async def test_answers_about_items_say_where_they_are(container: ContainerProxy) -> None:
    item = await container.create_item({"id": "1", "pk": "a"})
    address = f"{container.client_connection.url_connection}{container.container_link}/docs"
    assert item.get_response_headers()["content-location"].rstrip("/") == address
    read = await container.read_item("1", "a")
    assert read.get_response_headers()["content-location"].rstrip("/") == f"{address}/1"
