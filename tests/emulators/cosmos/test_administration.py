"""Databases, containers and throughput, with the real SDKs."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from azure.cosmos import CosmosClient as SyncClient
from azure.cosmos import PartitionKey, ThroughputProperties
from azure.cosmos.aio import CosmosClient
from azure.cosmos.exceptions import CosmosHttpResponseError, CosmosResourceExistsError, CosmosResourceNotFoundError
from tests.servers.cosmos import CosmosServer, cosmos_server

if TYPE_CHECKING:
    from pathlib import Path

    from azure.cosmos.aio import DatabaseProxy


async def test_databases_are_created_listed_queried_and_deleted(client: CosmosClient) -> None:
    await client.create_database("listed")
    with pytest.raises(CosmosResourceExistsError):
        await client.create_database("listed")
    assert "listed" in [database["id"] async for database in client.list_databases()]
    query = "SELECT * FROM root r WHERE r.id = @id"
    found = client.query_databases(query, parameters=[{"name": "@id", "value": "listed"}])
    assert [database["id"] async for database in found] == ["listed"]
    await client.delete_database("listed")
    with pytest.raises(CosmosResourceNotFoundError):
        await client.get_database_client("listed").read()


async def test_a_container_can_be_created_read_changed_and_deleted(database: DatabaseProxy) -> None:
    container = await database.create_container_if_not_exists("c", PartitionKey("/pk"), default_ttl=60)
    await database.create_container_if_not_exists("c", PartitionKey("/pk"))
    assert (await container.read())["defaultTtl"] == 60
    await database.replace_container("c", PartitionKey("/pk"), default_ttl=120)
    assert (await container.read())["defaultTtl"] == 120
    with pytest.raises(CosmosHttpResponseError):
        await database.replace_container("c", PartitionKey("/other"))
    assert [each["id"] async for each in database.list_containers()] == ["c"]
    await database.delete_container("c")
    with pytest.raises(CosmosResourceNotFoundError):
        await container.read()


async def test_a_container_that_is_created_again_is_empty(database: DatabaseProxy) -> None:
    container = await database.create_container("c", PartitionKey("/pk"))
    await container.create_item({"id": "1", "pk": "a"})
    await database.delete_container("c")
    await database.create_container("c", PartitionKey("/pk"))
    assert [item async for item in container.read_all_items()] == []
    await container.create_item({"id": "1", "pk": "a"})


async def test_a_hierarchical_partition_key_isolates_by_prefix(database: DatabaseProxy) -> None:
    container = await database.create_container("c", PartitionKey(["/tenant", "/user"], kind="MultiHash"))
    for tenant, user in (("a", "1"), ("a", "2"), ("b", "1")):
        await container.create_item({"id": "x", "tenant": tenant, "user": user})
    assert (await container.read_item("x", ["a", "2"]))["user"] == "2"
    query = "SELECT VALUE c.user FROM c"
    found: list[object] = [user async for user in container.query_items(query, partition_key=["a"])]
    assert sorted(map(str, found)) == ["1", "2"]


async def test_unique_keys_are_unique_in_a_partition(database: DatabaseProxy) -> None:
    policy: Any = {"uniqueKeys": [{"paths": ["/email"]}]}
    container = await database.create_container("c", PartitionKey("/pk"), unique_key_policy=policy)
    await container.create_item({"id": "1", "pk": "a", "email": "x"})
    with pytest.raises(CosmosResourceExistsError):
        await container.create_item({"id": "2", "pk": "a", "email": "x"})
    await container.create_item({"id": "2", "pk": "b", "email": "x"})
    await container.replace_item("1", {"id": "1", "pk": "a", "email": "y"})
    await container.create_item({"id": "2", "pk": "a", "email": "x"})
    await container.delete_item("1", "a")
    await container.create_item({"id": "3", "pk": "a", "email": "y"})


async def test_manual_and_autoscale_throughput_can_be_read_and_replaced(database: DatabaseProxy) -> None:
    manual = await database.create_container("manual", PartitionKey("/pk"), offer_throughput=400)
    assert (await manual.get_throughput()).offer_throughput == 400
    await manual.replace_throughput(500)
    assert (await manual.get_throughput()).offer_throughput == 500
    scaled = await database.create_container(
        "scaled", PartitionKey("/pk"), offer_throughput=ThroughputProperties(auto_scale_max_throughput=4000)
    )
    assert (await scaled.get_throughput()).auto_scale_max_throughput == 4000
    await scaled.replace_throughput(ThroughputProperties(auto_scale_max_throughput=5000))
    assert (await scaled.get_throughput()).auto_scale_max_throughput == 5000
    with pytest.raises(CosmosHttpResponseError):
        await database.create_container("little", PartitionKey("/pk"), offer_throughput=100)


async def test_a_container_without_throughput_has_the_least(database: DatabaseProxy) -> None:
    container = await database.create_container("items", PartitionKey("/pk"))
    assert (await container.get_throughput()).offer_throughput == 400


def test_the_synchronous_sdk_works_too(server: CosmosServer) -> None:
    with SyncClient(server.endpoint, server.account_key) as client:
        container = client.create_database_if_not_exists("sync").create_container_if_not_exists(
            "c", PartitionKey("/pk")
        )
        container.upsert_item({"id": "1", "pk": "a", "n": 1})
        container.execute_item_batch([("upsert", ({"id": "2", "pk": "a", "n": 2},))], "a")
        query = "SELECT VALUE c.n FROM c ORDER BY c.n DESC"
        assert list(container.query_items(query, enable_cross_partition_query=True)) == [2, 1]
        assert len(list(container.query_items_change_feed(start_time="Beginning"))) == 2
        assert len(container.read_items([("1", "a"), ("2", "a")])) == 2


async def test_a_client_without_endpoint_discovery_works(server: CosmosServer) -> None:
    async with CosmosClient(server.endpoint, server.account_key, enable_endpoint_discovery=False) as client:
        assert (await client.create_database_if_not_exists("undiscovered")).id == "undiscovered"


async def test_a_client_that_uses_another_name_of_the_host_stays_with_it(server: CosmosServer) -> None:
    endpoint = server.endpoint.replace("127.0.0.1", "localhost")
    async with CosmosClient(endpoint, server.account_key) as client:
        await client.create_database_if_not_exists("named")
        locations = (await client._get_database_account()).WritableLocations
        assert [location["databaseAccountEndpoint"] for location in locations] == [endpoint]


@pytest.mark.parametrize("what", ["directory", "port"])
def test_what_is_in_use_is_refused_in_one_line(server: CosmosServer, tmp_path: Path, what: str) -> None:
    directory = server.directory if what == "directory" else tmp_path
    port = server.port if what == "port" else 0
    command = [sys.executable, "-m", "cloudscale.emulators.cosmos", "--data-dir", str(directory), "--port", str(port)]
    finished = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    assert finished.returncode == 2
    assert len(finished.stderr.splitlines()) == 1
    assert str(directory if what == "directory" else port) in finished.stderr


async def test_provisioned_throughput_is_enforced_on_request(tmp_path: Path) -> None:
    with cosmos_server(tmp_path, enforce_throughput=True) as server:
        async with CosmosClient(server.endpoint, server.account_key) as client:
            database = await client.create_database("db")
            container = await database.create_container("c", PartitionKey("/pk"), offer_throughput=400)
            batch = [("upsert", ({"id": str(number), "pk": "a"},)) for number in range(100)]
            # A batch costs more than a second's worth, so the SDK is told to wait before the second and the third.
            for _ in range(3):
                await container.execute_item_batch(batch, "a")
        lines = server.metrics()
    assert 'cosmos_requests_total{operation="batch",status="200"} 3' in lines
    assert any(line.startswith('cosmos_requests_total{operation="batch",status="429"}') for line in lines)


async def test_a_container_tells_how_much_is_in_its_ranges(ranged_server: CosmosServer) -> None:
    async with CosmosClient(ranged_server.endpoint, ranged_server.account_key) as client:
        database = await client.create_database("statistics")
        container = await database.create_container("items", PartitionKey("/pk"))
        for number in range(8):
            await container.create_item({"id": str(number), "pk": number, "text": "x" * 2000})
        described: dict[str, Any] = await container.read(populate_partition_key_range_statistics=True)
        statistics = described["statistics"]
        assert [each["id"] for each in statistics] == ["0", "1", "2", "3"]
        assert sum(each["documentCount"] for each in statistics) == 8
        assert 8 <= sum(each["sizeInKB"] for each in statistics) <= 16
        assert "statistics" not in await container.read()
