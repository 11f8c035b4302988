"""Subqueries, as "Subqueries in Azure Cosmos DB for NoSQL" describes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from azure.cosmos.exceptions import CosmosHttpResponseError
from tests.emulators.cosmos.test_queries import select

if TYPE_CHECKING:
    from azure.cosmos.aio import ContainerProxy

ITEMS: list[dict[str, Any]] = [
    {
        "id": "1",
        "pk": "a",
        "name": "One",
        "n": 5,
        "tags": [{"n": "x", "v": 1}, {"n": "y", "v": 2}],
        "units": [{"d": "p"}, {"d": "q"}],
    },
    {"id": "2", "pk": "a", "name": "Two", "n": 7, "tags": [{"n": "x", "v": 9}], "units": []},
    {"id": "3", "pk": "a", "name": "Three", "n": 9},
]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("SELECT VALUE c.id FROM c WHERE EXISTS(SELECT VALUE t FROM t IN c.tags WHERE t.n = 'y')", ["1"]),
        ("SELECT VALUE c.id FROM c WHERE NOT EXISTS(SELECT VALUE t FROM t IN c.tags)", ["3"]),
        ("SELECT VALUE ARRAY(SELECT VALUE t.n FROM t IN c.tags) FROM c", [["x", "y"], ["x"], []]),
        ("SELECT VALUE ARRAY(SELECT t.n FROM t IN c.tags WHERE t.v > 1) FROM c WHERE c.n = 5", [[{"n": "y"}]]),
        (
            "SELECT c.id, t.n FROM c JOIN (SELECT VALUE t FROM t IN c.tags WHERE t.v > 1) t",
            [{"id": "1", "n": "y"}, {"id": "2", "n": "x"}],
        ),
        (
            "SELECT VALUE COUNT(1) FROM c JOIN (SELECT VALUE t FROM t IN c.tags) JOIN (SELECT 1 FROM u IN c.units)",
            [4],
        ),
        ("SELECT VALUE (SELECT VALUE COUNT(1) FROM t IN c.tags) FROM c", [2, 1, 0]),
        ("SELECT VALUE (SELECT VALUE SUM(t.v) FROM t IN c.tags) FROM c WHERE c.n = 5", [3]),
        ("SELECT m.low FROM c JOIN (SELECT VALUE {low: LOWER(c.name)}) m WHERE m.low = 'one'", [{"low": "one"}]),
        ("SELECT VALUE c.id FROM (SELECT VALUE c FROM c WHERE c.n > 6) c", ["2", "3"]),
        ("SELECT VALUE s FROM (SELECT c.id, c.n FROM c) s WHERE s.n = 9", [{"id": "3", "n": 9}]),
        ("SELECT VALUE ARRAY(SELECT VALUE t.v FROM t IN c.tags ORDER BY t.v DESC) FROM c WHERE c.n = 5", [[2, 1]]),
        ("SELECT VALUE (SELECT VALUE c.n * 2) FROM c WHERE c.n = 5", [10]),
        ("SELECT VALUE s.n FROM s IN c.tags", ["x", "y", "x"]),
        ("SELECT * FROM c.tags[0]", [{"n": "x", "v": 1}, {"n": "x", "v": 9}]),
        ("SELECT VALUE Families.id FROM Families WHERE Families.n = 5", ["1"]),
        ("SELECT VALUE c[@key] FROM c WHERE c.n = 5", ["One"]),
    ],
)
async def test_a_subquery_gives_what_the_language_defines(
    container: ContainerProxy, query: str, expected: list[Any]
) -> None:
    for item in ITEMS:
        await container.create_item(item)
    for size in (1, 100):
        found = await select(container, query, partition_key="a", values={"@key": "name"}, max_item_count=size)
        assert found == expected


@pytest.mark.parametrize(
    ("query", "complaint"),
    [
        ("SELECT VALUE (SELECT VALUE t FROM t IN c.tags) FROM c", "A subquery for one value has 2 results"),
        ("SELECT VALUE x FROM (SELECT VALUE COUNT(1) FROM c) x", "not supported by this emulator"),
        ("SELECT VALUE udf.f(c.id) FROM c", "not supported by this emulator"),
        ("SELECT VALUE c.id FROM c WHERE COUNT(1) > 1", "possible in SELECT only"),
    ],
)
async def test_a_subquery_that_cannot_be_computed_is_refused(
    container: ContainerProxy, query: str, complaint: str
) -> None:
    for item in ITEMS:
        await container.create_item(item)
    with pytest.raises(CosmosHttpResponseError) as caught:
        await select(container, query, partition_key="a")
    assert caught.value.status_code == 400
    assert complaint in caught.value.message
