"""Query metrics through the real SDK, which hands the header on as it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.emulators.cosmos.gateway import ask

if TYPE_CHECKING:
    from azure.cosmos.aio import ContainerProxy

HEADER = "x-ms-documentdb-query-metrics"


def parsed(header: str) -> dict[str, float]:
    """The metrics by name."""
    return {name: float(value) for name, value in (part.split("=") for part in header.split(";"))}


@pytest.fixture
async def items(container: ContainerProxy) -> ContainerProxy:
    """Ten items in one partition."""
    await container.execute_item_batch([("create", ({"id": str(n), "pk": "a", "n": n},)) for n in range(10)], "a")
    return container


async def test_metrics_tell_what_was_read_and_what_came_out(items: ContainerProxy) -> None:
    query = items.query_items("SELECT VALUE c.n FROM c WHERE c.n >= 6", partition_key="a", populate_query_metrics=True)
    found: list[object] = [n async for n in query]
    assert found == [6, 7, 8, 9]
    metrics = parsed(items.client_connection.last_response_headers[HEADER])
    assert (metrics["retrievedDocumentCount"], metrics["outputDocumentCount"]) == (10, 4)
    assert metrics["outputDocumentSize"] == len("6789")
    assert metrics["indexUtilizationRatio"] == 0.4
    assert metrics["totalExecutionTimeInMs"] >= metrics["VMExecutionTimeInMs"] > 0


async def test_a_count_reads_no_document(items: ContainerProxy) -> None:
    query = items.query_items("SELECT VALUE COUNT(1) FROM c", partition_key="a", populate_query_metrics=True)
    counted: list[object] = [n async for n in query]
    assert counted == [10]
    metrics = parsed(items.client_connection.last_response_headers[HEADER])
    assert (metrics["retrievedDocumentCount"], metrics["retrievedDocumentSize"]) == (0, 0)


async def test_each_page_has_metrics_of_its_own(items: ContainerProxy) -> None:
    page = ask(items, "SELECT * FROM c", x_ms_documentdb_populatequerymetrics="true", x_ms_max_item_count="4")
    assert "x-ms-continuation" in page.headers
    assert parsed(page.headers[HEADER])["outputDocumentCount"] == 4


async def test_nobody_gets_metrics_unasked(items: ContainerProxy) -> None:
    assert HEADER not in ask(items, "SELECT * FROM c").headers
