"""The account's read-only key: it reads all there is, and changes nothing."""

from __future__ import annotations

import base64
import secrets
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from azure.cosmos import PartitionKey
from azure.cosmos.aio import CosmosClient
from azure.cosmos.exceptions import CosmosHttpResponseError
from tests.servers.cosmos import CosmosServer
from tests.servers.process import running

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

    from azure.cosmos.aio import ContainerProxy

READ_ONLY_KEY = base64.b64encode(secrets.token_bytes(64)).decode()


@pytest.fixture(scope="module")
def guarded_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CosmosServer]:
    directory = tmp_path_factory.mktemp("cosmos-read-only")
    key_file = directory / "read-only.key"
    key_file.write_text(READ_ONLY_KEY)
    with running(CosmosServer(directory, ("--read-only-key-file", str(key_file)))) as server:
        yield server


@pytest.fixture
async def name(guarded_server: CosmosServer) -> str:
    name = f"db-{uuid4()}"
    async with CosmosClient(guarded_server.endpoint, guarded_server.account_key) as client:
        database = await client.create_database(name)
        container = await database.create_container("items", PartitionKey("/pk"))
        await container.create_item({"id": "one", "pk": "a"})
    return name


@pytest.fixture
async def container(guarded_server: CosmosServer, name: str) -> AsyncIterator[ContainerProxy]:
    async with CosmosClient(guarded_server.endpoint, READ_ONLY_KEY) as client:
        yield client.get_database_client(name).get_container_client("items")


async def test_it_reads_documents_and_asks_for_them(container: ContainerProxy) -> None:
    assert (await container.read_item("one", "a"))["id"] == "one"
    assert [row["id"] async for row in container.query_items("SELECT * FROM c ORDER BY c.id")] == ["one"]
    assert [row["id"] async for row in container.query_items_change_feed(start_time="Beginning")] == ["one"]


WRITES: dict[str, Callable[[ContainerProxy], Awaitable[Any]]] = {
    "create": lambda container: container.create_item({"id": "two", "pk": "a"}),
    "upsert": lambda container: container.upsert_item({"id": "one", "pk": "a", "changed": True}),
    "replace": lambda container: container.replace_item("one", {"id": "one", "pk": "a", "changed": True}),
    "patch": lambda container: container.patch_item("one", "a", [{"op": "add", "path": "/changed", "value": True}]),
    "delete": lambda container: container.delete_item("one", "a"),
    "batch": lambda container: container.execute_item_batch([("delete", ("one",))], "a"),
    "partition": lambda container: container.delete_all_items_by_partition_key("a"),
}


@pytest.mark.parametrize("write", WRITES)
async def test_it_may_not_write(container: ContainerProxy, write: str) -> None:
    with pytest.raises(CosmosHttpResponseError, match="read-only key") as refused:
        await WRITES[write](container)
    assert refused.value.status_code == 403
    assert "changed" not in await container.read_item("one", "a")


@pytest.mark.parametrize("write", ["batch", "partition", "create"])
async def test_a_write_that_claims_to_be_a_question_is_refused_too(container: ContainerProxy, write: str) -> None:
    claims = {"x-ms-documentdb-isquery": "True", "x-ms-cosmos-is-query-plan-request": "True"}
    options: dict[str, Callable[[], Awaitable[Any]]] = {
        "batch": lambda: container.execute_item_batch([("delete", ("one",))], "a", initial_headers=claims),
        "partition": lambda: container.delete_all_items_by_partition_key("a", initial_headers=claims),
        "create": lambda: container.create_item({"id": "two", "pk": "a"}, initial_headers=claims),
    }
    with pytest.raises(CosmosHttpResponseError):
        await options[write]()
    assert [row["id"] async for row in container.query_items("SELECT * FROM c")] == ["one"]


async def test_it_may_not_create_or_delete_containers(guarded_server: CosmosServer, name: str) -> None:
    async with CosmosClient(guarded_server.endpoint, READ_ONLY_KEY) as client:
        database = client.get_database_client(name)
        with pytest.raises(CosmosHttpResponseError, match="read-only key"):
            await database.create_container("more", PartitionKey("/pk"))
        with pytest.raises(CosmosHttpResponseError, match="read-only key"):
            await database.delete_container("items")
        assert [each["id"] async for each in database.list_containers()] == ["items"]
