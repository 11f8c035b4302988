"""What the account says of itself, and what it promises of what is read."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

import msgspec
import pytest
from azure.cosmos import PartitionKey
from azure.cosmos.aio import CosmosClient
from tests.emulators.cosmos.gateway import ask, send
from tests.servers.cosmos import CosmosServer
from tests.servers.process import running

if TYPE_CHECKING:
    from collections.abc import Iterator

    from azure.cosmos.aio import ContainerProxy

LEVEL = "x-ms-consistency-level"


@pytest.fixture(scope="module")
def bounded_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CosmosServer]:
    """An emulator in another region that promises more than sessions."""
    arguments = ("--region", "West Europe", "--consistency", "BoundedStaleness")
    with running(CosmosServer(tmp_path_factory.mktemp("cosmos-account"), arguments)) as server:
        yield server


def test_the_only_region_has_the_name_that_microsofts_emulator_gives_it(server: CosmosServer) -> None:
    account = msgspec.json.decode(server.request("GET", ""))
    assert [each["name"] for each in account["readableLocations"]] == ["South Central US"]
    assert account["writableLocations"] == account["readableLocations"]
    assert account["userConsistencyPolicy"] == {"defaultConsistencyLevel": "Session"}


async def test_region_and_consistency_are_as_the_command_line_says(bounded_server: CosmosServer) -> None:
    account = msgspec.json.decode(bounded_server.request("GET", ""))
    assert [each["name"] for each in account["readableLocations"]] == ["West Europe"]
    assert account["userConsistencyPolicy"] == {"defaultConsistencyLevel": "BoundedStaleness"}
    preferred = ["North Europe", "West Europe"]
    async with CosmosClient(
        bounded_server.endpoint, bounded_server.account_key, preferred_locations=preferred, consistency_level="Session"
    ) as client:
        container = await (await client.create_database(f"db-{uuid4()}")).create_container("items", PartitionKey("/pk"))
        await container.create_item({"id": "1", "pk": "a"})
        assert (await container.read_item("1", "a"))["id"] == "1"


@pytest.mark.parametrize("level", ["Session", "consistentprefix", "Eventual"])
def test_a_request_may_ask_for_no_more_than_the_account_promises(container: ContainerProxy, level: str) -> None:
    assert ask(container, "SELECT * FROM c", x_ms_consistency_level=level).status == 200


@pytest.mark.parametrize("level", ["Strong", "boundedStaleness", "Absolute"])
def test_a_request_for_more_than_the_account_promises_is_refused(container: ContainerProxy, level: str) -> None:
    refused = ask(container, "SELECT * FROM c", x_ms_consistency_level=level)
    assert refused.status == 400
    assert level in refused.json["message"]
    assert send(container, "GET", "docs", headers={LEVEL: level}).status == 400
    # A write promises nothing of reading.
    written = send(
        container,
        "POST",
        "docs",
        body=b'{"id":"1","pk":"a"}',
        headers={LEVEL: level, "x-ms-documentdb-partitionkey": '["a"]'},
    )
    assert written.status == 201
