"""Index metrics: what of a container's indexing policy a query uses, and what it could use."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from azure.cosmos import PartitionKey
from tests.emulators.cosmos.gateway import ask

if TYPE_CHECKING:
    from azure.cosmos.aio import ContainerProxy, DatabaseProxy

HEADER = "x-ms-cosmos-index-utilization"
KEY = {"x_ms_documentdb_partitionkey": '["a"]'}
ITEM = {
    "id": "1",
    "pk": "a",
    "name": "Tim",
    "age": 20,
    "town": "Redmond",
    "time": 5,
    "hidden": "h",
    "tags": [{"name": "t"}],
}


@pytest.fixture
async def items(container: ContainerProxy) -> ContainerProxy:
    """One item, with every path indexed."""
    await container.create_item(ITEM)
    return container


@pytest.fixture
async def indexed(database: DatabaseProxy) -> ContainerProxy:
    """One item, with a path that has no index and composite indexes of others."""
    policy: dict[str, Any] = {
        "includedPaths": [{"path": "/*"}],
        "excludedPaths": [{"path": "/hidden/?"}],
        "compositeIndexes": [
            [{"path": "/name", "order": "ascending"}, {"path": "/age", "order": "descending"}],
            [{"path": "/age", "order": "ascending"}, {"path": "/time", "order": "ascending"}],
        ],
    }
    container = await database.create_container("indexed", PartitionKey("/pk"), indexing_policy=policy)
    await container.create_item(ITEM)
    return container


def metrics(container: ContainerProxy, query: str, **headers: str) -> dict[str, list[dict[str, Any]]]:
    page = ask(container, query, x_ms_cosmos_populateindexmetrics="true", **headers)
    assert page.status == 200, page.body
    found: dict[str, list[dict[str, Any]]] = msgspec.json.decode(base64.b64decode(page.headers[HEADER], validate=True))
    return found


def specs(found: dict[str, list[dict[str, Any]]]) -> dict[str, list[str]]:
    """The indexes of each kind, where there are any."""
    written = {
        kind: [each["IndexSpec"] if "IndexSpec" in each else ", ".join(each["IndexSpecs"]) for each in entries]
        for kind, entries in found.items()
    }
    return {kind: entries for kind, entries in written.items() if entries}


async def test_two_filters_use_two_indexes_and_could_use_one_of_both(items: ContainerProxy) -> None:
    assert metrics(items, "SELECT * FROM c WHERE c.name = 'Tim' AND c.age > 12") == {
        "UtilizedSingleIndexes": [
            {
                "FilterExpression": '(ROOT.name = "Tim")',
                "IndexSpec": "/name/?",
                "FilterPreciseSet": True,
                "IndexPreciseSet": True,
                "IndexImpactScore": "High",
            },
            {
                "FilterExpression": "(ROOT.age > 12)",
                "IndexSpec": "/age/?",
                "FilterPreciseSet": True,
                "IndexPreciseSet": True,
                "IndexImpactScore": "High",
            },
        ],
        "PotentialSingleIndexes": [],
        "UtilizedCompositeIndexes": [],
        "PotentialCompositeIndexes": [
            {"IndexSpecs": ["/name ASC", "/age ASC"], "IndexPreciseSet": False, "IndexImpactScore": "High"}
        ],
    }


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (
            # The examples of the service's documentation.
            "SELECT c.id FROM c WHERE c.name = 'Tim' AND c.age > 15 AND c.town = 'Redmond' AND c.time > 4",
            {
                "UtilizedSingleIndexes": ["/name/?", "/age/?", "/town/?", "/time/?"],
                "PotentialCompositeIndexes": [
                    "/name ASC, /town ASC, /age ASC",
                    "/name ASC, /town ASC, /time ASC",
                ],
            },
        ),
        (
            "SELECT * FROM c WHERE c.age > 5 AND STARTSWITH(c.name, 'T')",
            {"UtilizedSingleIndexes": ["/age/?", "/name/?"]},
        ),
        ("SELECT * FROM c WHERE c.age > 5", {"UtilizedSingleIndexes": ["/age/?"]}),
        ("SELECT * FROM c WHERE 5 < c.age OR c['a b'] = 1", {"UtilizedSingleIndexes": ["/age/?", '/"a b"/?']}),
        ("SELECT * FROM c WHERE c.name IN ('Tim', 'Tom')", {"UtilizedSingleIndexes": ["/name/?"]}),
        ("SELECT VALUE t FROM c JOIN t IN c.tags WHERE t.name = 't'", {"UtilizedSingleIndexes": ["/tags/[]/name/?"]}),
        ("SELECT * FROM c WHERE UPPER(c.name) = 'TIM'", {}),
        ("SELECT * FROM c WHERE c.age + 1 > c.time", {}),
        ("SELECT * FROM c", {}),
    ],
)
async def test_indexes_follow_from_the_shape_of_the_query(
    items: ContainerProxy, query: str, expected: dict[str, list[str]]
) -> None:
    assert specs(metrics(items, query)) == expected


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("SELECT * FROM c WHERE c.hidden = 'h'", {"PotentialSingleIndexes": ["/hidden/?"]}),
        (
            "SELECT * FROM c WHERE c.name = 'Tim' AND c.age > 12",
            {"UtilizedSingleIndexes": ["/name/?", "/age/?"], "UtilizedCompositeIndexes": ["/name ASC, /age DESC"]},
        ),
        (
            # A range may only be the last of a composite index.
            "SELECT * FROM c WHERE c.age > 1 AND c.time = 5",
            {"UtilizedSingleIndexes": ["/age/?", "/time/?"], "PotentialCompositeIndexes": ["/time ASC, /age ASC"]},
        ),
    ],
)
async def test_what_the_policy_lacks_is_what_a_query_could_use(
    indexed: ContainerProxy, query: str, expected: dict[str, list[str]]
) -> None:
    assert specs(metrics(indexed, query)) == expected


async def test_an_order_uses_the_indexes_of_what_it_orders_by(indexed: ContainerProxy) -> None:
    order = "SELECT * FROM c ORDER BY c.name DESC, c.age ASC"
    assert specs(metrics(indexed, order, **KEY)) == {
        "UtilizedSingleIndexes": ["/pk/?"],
        "UtilizedCompositeIndexes": ["/name ASC, /age DESC"],
    }
    assert specs(metrics(indexed, "SELECT * FROM c ORDER BY c.town", **KEY)) == {
        "UtilizedSingleIndexes": ["/pk/?", "/town/?"]
    }


async def test_a_partition_key_beside_the_query_uses_its_index(items: ContainerProxy) -> None:
    (used,) = metrics(items, "SELECT * FROM c", **KEY)["UtilizedSingleIndexes"]
    assert (used["FilterExpression"], used["IndexSpec"], used["IndexImpactScore"]) == ("", "/pk/?", "High")


async def test_a_filter_that_reads_a_whole_index_has_little_impact(items: ContainerProxy) -> None:
    (used,) = metrics(items, "SELECT * FROM c WHERE CONTAINS(c.name, 'i')")["UtilizedSingleIndexes"]
    assert (used["FilterExpression"], used["IndexImpactScore"]) == ('CONTAINS(ROOT.name, "i")', "Low")


async def test_parameters_stand_in_filters_by_their_value(items: ContainerProxy) -> None:
    query = items.query_items(
        "SELECT * FROM c WHERE c.name = @name",
        parameters=[{"name": "@name", "value": "Tim"}],
        partition_key="a",
        populate_index_metrics=True,
    )
    assert [item["id"] async for item in query] == ["1"]
    # The SDK decodes the header.
    found = items.client_connection.last_response_headers[HEADER]
    assert [each["FilterExpression"] for each in found["UtilizedSingleIndexes"]] == ['(ROOT.name = "Tim")', ""]


async def test_only_a_page_with_results_tells_of_indexes_and_only_when_asked(items: ContainerProxy) -> None:
    asked = {"x_ms_cosmos_populateindexmetrics": "true"}
    assert HEADER not in ask(items, "SELECT * FROM c WHERE c.name = 'nobody'", **asked).headers
    assert HEADER not in ask(items, "SELECT * FROM c").headers
