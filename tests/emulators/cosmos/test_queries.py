"""Queries through the real SDK: isolation, paging, aggregates, and what is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from azure.cosmos import PartitionKey
from azure.cosmos.aio import CosmosClient
from azure.cosmos.exceptions import CosmosHttpResponseError
from tests.emulators.cosmos.gateway import select_by_plan

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from azure.cosmos.aio import ContainerProxy
    from tests.servers.cosmos import CosmosServer

PARTITIONS = 7
ITEMS = 120
COMPOSITE_INDEX: Any = {"compositeIndexes": [[{"path": "/group"}, {"path": "/n", "order": "descending"}]]}


async def fill(container: ContainerProxy) -> list[dict[str, Any]]:
    """Items over several partitions, some without a value, one with null."""
    items: list[dict[str, Any]] = []
    for number in range(ITEMS):
        item: dict[str, Any] = {"id": f"item-{number:03}", "pk": f"p{number % PARTITIONS}", "n": number}
        if number % 3:
            item["group"] = f"g{number % 4}"
        if number % 10 == 0:
            item["nothing"] = None
        item["tags"] = [{"name": f"t{number % 5}"}, {"name": "all"}]
        items.append(item)
    for partition in range(PARTITIONS):
        part = [item for item in items if item["pk"] == f"p{partition}"]
        await container.execute_item_batch([("create", (item,)) for item in part], f"p{partition}")
    return items


@pytest.fixture(params=[1, 4], ids=["one range", "four ranges"])
async def filled(
    request: pytest.FixtureRequest, server: CosmosServer, ranged_server: CosmosServer
) -> AsyncIterator[tuple[ContainerProxy, list[dict[str, Any]]]]:
    """A container with items, in an emulator with one and with four partition key ranges."""
    chosen = server if request.param == 1 else ranged_server
    async with CosmosClient(chosen.endpoint, chosen.account_key) as client:
        database = await client.create_database_if_not_exists("queries")
        await database.create_container_if_not_exists(
            f"filled{request.param}", PartitionKey("/pk"), indexing_policy=COMPOSITE_INDEX
        )
        container = database.get_container_client(f"filled{request.param}")
        if await select(container, "SELECT VALUE COUNT(1) FROM c") == [0]:
            await fill(container)
        yield (
            container,
            [
                {name: value for name, value in item.items() if not name.startswith("_")}
                async for item in container.read_all_items()
            ],
        )


async def select(container: ContainerProxy, query: str, **options: Any) -> list[Any]:
    """All results of a query."""
    parameters = [{"name": name, "value": value} for name, value in options.pop("values", {}).items()]
    return [result async for result in container.query_items(query, parameters=parameters, **options)]


Filled = tuple["ContainerProxy", list[dict[str, Any]]]


async def test_all_items_are_read_whatever_the_page_size(filled: Filled) -> None:
    container, items = filled
    assert sorted(item["id"] for item in items) == [f"item-{number:03}" for number in range(ITEMS)]
    for size in (1, 7, 1000):
        found = await select(container, "SELECT VALUE c.id FROM c", max_item_count=size)
        assert sorted(found) == sorted(item["id"] for item in items)


async def test_a_query_with_a_partition_key_sees_only_that_partition(filled: Filled) -> None:
    container, items = filled
    found = await select(container, "SELECT VALUE c.id FROM c WHERE c.n >= @n", values={"@n": 50}, partition_key="p3")
    assert found == [item["id"] for item in items if item["pk"] == "p3" and item["n"] >= 50]
    assert await select(container, "SELECT * FROM c", partition_key="none") == []


async def test_counts_are_right_for_everything_a_partition_and_a_condition(filled: Filled) -> None:
    container, items = filled
    assert await select(container, "SELECT VALUE COUNT(1) FROM c") == [ITEMS]
    in_partition = sum(item["pk"] == "p1" for item in items)
    assert await select(container, "SELECT VALUE COUNT(1) FROM c", partition_key="p1") == [in_partition]
    assert await select(container, "SELECT VALUE COUNT(1) FROM c WHERE c.pk = 'p1'") == [in_partition]
    assert await select(container, "SELECT VALUE COUNT(c.group) FROM c") == [sum("group" in item for item in items)]


async def test_aggregates_cover_all_ranges(filled: Filled) -> None:
    container, items = filled
    numbers = [item["n"] for item in items]
    query = "SELECT VALUE {'sum': SUM(c.n), 'avg': AVG(c.n), 'min': MIN(c.n), 'max': MAX(c.n)} FROM c"
    (result,) = select_by_plan(container, query)
    assert result == {"sum": sum(numbers), "avg": sum(numbers) / ITEMS, "min": 0, "max": ITEMS - 1}


@pytest.mark.parametrize(("name", "expected"), [("AVG", 1.5), ("COUNT", 4), ("MAX", 3), ("MIN", 0), ("SUM", 6)])
async def test_the_python_sdk_merges_aggregates_of_all_ranges(filled: Filled, name: str, expected: float) -> None:
    container, _ = filled
    query = f"SELECT VALUE {name}(c.n) FROM c WHERE c.n < 4"  # noqa: S608 - names of the test's own
    assert await select(container, query) == [expected]
    assert await select(container, f"{query} ORDER BY c.n") == [expected]


async def test_the_python_sdk_merges_distinct_values_of_all_ranges(filled: Filled) -> None:
    container, items = filled
    found = await select(container, "SELECT DISTINCT VALUE c.n % 7 FROM c ORDER BY c.n OFFSET 1 LIMIT 3")
    assert found == [1, 2, 3]
    groups = {item["group"] for item in items if "group" in item}
    query = "SELECT DISTINCT VALUE c.group FROM c WHERE IS_STRING(c.group) ORDER BY c.group"
    assert await select(container, query) == sorted(groups)


async def test_the_python_sdk_orders_no_values_of_several_types_that_come_from_several_ranges(
    filled: Filled, request: pytest.FixtureRequest
) -> None:
    container, _ = filled
    query = "SELECT VALUE c.n FROM c ORDER BY c.group"
    if "four ranges" not in request.node.name:
        assert len(await select(container, query)) == ITEMS
        return
    with pytest.raises(ValueError, match=r"Expected (String|NoValue), but got"):
        await select(container, query)


async def test_groups_are_complete_over_all_ranges(filled: Filled) -> None:
    container, items = filled
    found = select_by_plan(container, "SELECT c.group, COUNT(1) AS n FROM c GROUP BY c.group", page_size=2)
    expected: dict[Any, int] = {}
    for item in items:
        expected[item.get("group")] = expected.get(item.get("group"), 0) + 1
    assert {row.get("group"): row["n"] for row in found} == expected


@pytest.mark.parametrize("size", [3, 1000])
async def test_order_by_holds_over_pages_and_ranges(filled: Filled, size: int) -> None:
    container, items = filled
    found = await select(container, "SELECT VALUE c.n FROM c ORDER BY c.n DESC", max_item_count=size)
    assert found == sorted((item["n"] for item in items), reverse=True)
    found = select_by_plan(container, "SELECT c.group, c.n FROM c ORDER BY c.group ASC, c.n DESC", page_size=size)
    assert [(row.get("group", ""), -row["n"]) for row in found] == sorted(
        (item.get("group", ""), -item["n"]) for item in items
    )


async def test_top_offset_and_limit_hold_over_pages(filled: Filled) -> None:
    container, _ = filled
    assert await select(container, "SELECT TOP 5 VALUE c.n FROM c ORDER BY c.n", max_item_count=2) == [0, 1, 2, 3, 4]
    query = "SELECT VALUE c.n FROM c ORDER BY c.n OFFSET @skip LIMIT @take"
    assert await select(container, query, values={"@skip": 10, "@take": 5}, max_item_count=2) == list(range(10, 15))


async def test_distinct_values_come_once(filled: Filled) -> None:
    container, _ = filled
    assert sorted(await select(container, "SELECT DISTINCT VALUE c.pk FROM c", max_item_count=2)) == [
        f"p{number}" for number in range(PARTITIONS)
    ]


async def test_a_join_gives_a_row_for_each_element(filled: Filled) -> None:
    container, _ = filled
    query = "SELECT c.id, t.name FROM c JOIN t IN c.tags WHERE t.name = 't1'"
    found = await select(container, query, max_item_count=5)
    assert [row["name"] for row in found] == ["t1"] * (ITEMS // 5)
    assert len(await select(container, "SELECT VALUE t.name FROM t IN c.tags", max_item_count=50)) == 2 * ITEMS


async def test_undefined_members_are_left_out_and_null_is_kept(filled: Filled) -> None:
    container, _ = filled
    assert await select(container, "SELECT c.nothing, c.missing FROM c WHERE c.id = 'item-010'") == [{"nothing": None}]
    assert await select(container, "SELECT VALUE c.missing FROM c") == []
    assert len(await select(container, "SELECT VALUE c.nothing FROM c")) == ITEMS // 10


async def test_pages_written_between_lose_and_repeat_nothing(container: ContainerProxy) -> None:
    await fill(container)
    pages = container.query_items("SELECT VALUE c.id FROM c", max_item_count=10).by_page()
    seen: list[Any] = []
    async for page in pages:
        seen += [identity async for identity in page]
        changed = seen[0]
        await container.upsert_item({"id": changed, "pk": f"p{int(changed[-3:]) % PARTITIONS}", "n": -len(seen)})
        last = "item-119"
        await container.upsert_item({"id": last, "pk": f"p{119 % PARTITIONS}", "n": -len(seen)})
    assert sorted(seen) == [f"item-{number:03}" for number in range(ITEMS)]


async def test_many_items_are_read_by_id(filled: Filled) -> None:
    container, items = filled
    wanted = [(item["id"], item["pk"]) for item in items[::5]]
    found = await container.read_items([*wanted, ("missing", "p0")])
    assert sorted(item["id"] for item in found) == sorted(identity for identity, _ in wanted)


@pytest.mark.parametrize("prefix", ["p", "p3", "p33", ""])
async def test_a_beginning_of_partition_keys_selects_their_items(filled: Filled, prefix: str) -> None:
    container, items = filled
    expected = sorted(item["n"] for item in items if item["pk"].startswith(prefix) and item["n"] < 100)
    query = "SELECT VALUE c.n FROM c WHERE STARTSWITH(c.pk, @prefix) AND c.n < 100"
    assert sorted(await select(container, query, values={"@prefix": prefix})) == expected


async def test_a_beginning_of_partition_keys_may_be_any_text(container: ContainerProxy) -> None:
    keys = ['naïve "漢字"\n\\x', 'naïve "漢字"\ny', "naïve_", "NAÏVE"]
    for number, key in enumerate(keys):
        await container.create_item({"id": str(number), "pk": key})
    await container.create_item({"id": "number", "pk": 1})

    async def found(prefix: str) -> set[str]:
        query = "SELECT VALUE c.id FROM c WHERE STARTSWITH(c.pk, @prefix)"
        return set(await select(container, query, values={"@prefix": prefix}))

    assert await found('naïve "漢字"\n') == {"0", "1"}
    assert await found('naïve "漢字"\n\\') == {"0"}
    assert await found("naïve") == {"0", "1", "2"}
    assert await found("") == {"0", "1", "2", "3"}


async def test_a_feed_range_query_sees_its_part(filled: Filled) -> None:
    container, items = filled
    seen: list[str] = []
    async for feed_range in container.read_feed_ranges():
        seen += await select(container, "SELECT VALUE c.id FROM c", feed_range=feed_range)
    assert sorted(seen) == sorted(item["id"] for item in items)


async def test_time_conditions_use_the_servers_timestamp(filled: Filled) -> None:
    container, _ = filled
    (newest,) = await select(container, "SELECT VALUE MAX(c._ts) FROM c")
    assert len(await select(container, "SELECT * FROM c WHERE c._ts <= @t", values={"@t": newest})) == ITEMS
    assert await select(container, "SELECT * FROM c WHERE c._ts > @t", values={"@t": newest}) == []
    assert len(await select(container, "SELECT * FROM c ORDER BY c._ts DESC OFFSET 0 LIMIT 9")) == 9


@pytest.mark.parametrize(
    ("query", "complaint"),
    [
        ("SELECT * FROM c WHERE", "near the end of the query at position 21"),
        ("SELECT * FROM c WHERE c.a = = 1", "near '=' at position 28"),
        ("SELECT * FROM c WHERE EXISTS(VALUE 1)", "near 'VALUE' at position 29"),
        ("SELECT * FROM c WHERE NOSUCH(c.a)", "'NOSUCH' at position 22"),
        ("SELECT * FROM c WHERE x.a = 1", "'x' at position 22"),
        ("SELECT * FROM c WHERE c.a = @missing", "'@missing' at position 28"),
        ("SELECT * FROM c; DROP TABLE containers", "near ';' at position 15"),
        ("UPDATE c SET c.a = 1", "near 'UPDATE' at position 0"),
        ("SELECT TOP -1 * FROM c", "near '-' at position 11"),
    ],
)
async def test_an_unsupported_query_is_refused_naming_the_place(
    container: ContainerProxy, query: str, complaint: str
) -> None:
    with pytest.raises(CosmosHttpResponseError) as caught:
        await select(container, query)
    assert caught.value.status_code == 400
    assert complaint in caught.value.message


async def test_values_are_never_pasted_into_sql(container: ContainerProxy) -> None:
    trick = "x' OR 1=1; DROP TABLE containers; --"
    await container.create_item({"id": "1", "pk": "a", "text": trick})
    query = "SELECT VALUE c.id FROM c WHERE c.text = @text"
    assert await select(container, query, values={"@text": trick}) == ["1"]
    assert await select(container, query, values={"@text": "' OR 1=1 --"}) == []
    assert await select(container, "SELECT VALUE c['no\\' such'] FROM c") == []


async def test_ids_are_found_with_and_without_their_partition(filled: Filled) -> None:
    container, _ = filled
    query = "SELECT VALUE c.n FROM c WHERE c.id IN ('item-003', 'item-010', 'missing')"
    assert await select(container, query) == [3, 10]
    assert await select(container, query, partition_key="p3") == [3, 10]
    assert await select(container, "SELECT VALUE c.n FROM c WHERE c.id = 'item-004' AND c.pk = 'p3'") == []
    assert sorted(await select(container, "SELECT VALUE c.n FROM c WHERE c.id = 'item-004' OR c.n = 7")) == [4, 7]


@pytest.mark.parametrize(
    "query",
    [
        "SELECT VALUE c.id FROM c",
        "SELECT VALUE c.id FROM c WHERE c.pk = 'p3'",
        "SELECT VALUE c.id FROM c WHERE c.pk = 'p3' AND c.id IN ('item-003', 'item-004', 'item-010')",
        "SELECT VALUE c.id FROM c WHERE c.id = 'item-003'",
    ],
)
async def test_every_result_comes_from_one_feed_range(filled: Filled, query: str) -> None:
    container, _ = filled
    everything = await select(container, query)
    assert everything
    found = [
        result
        async for feed_range in container.read_feed_ranges()
        for result in await select(container, query, feed_range=feed_range)
    ]
    assert sorted(found) == sorted(everything)


@pytest.mark.parametrize("query", ["SELECT VALUE COUNT(1) FROM c", "SELECT VALUE COUNT(1) FROM c WHERE c.pk = 'p3'"])
async def test_the_counts_of_the_feed_ranges_add_up(filled: Filled, query: str) -> None:
    container, _ = filled
    (total,) = await select(container, query)
    counts = [
        await select(container, query, feed_range=feed_range) async for feed_range in container.read_feed_ranges()
    ]
    assert sum(count for (count,) in counts) == total


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("SELECT DISTINCT VALUE c.v FROM c", 3),
        ("SELECT DISTINCT c.v FROM c", 3),
        ("SELECT COUNT(1) AS n, c.v FROM c GROUP BY c.v", 3),
        ("SELECT DISTINCT VALUE c.v FROM c GROUP BY c.v, c.id", 3),
    ],
)
async def test_equal_values_make_one_group(container: ContainerProxy, query: str, expected: int) -> None:
    for number, value in enumerate([1, 1.0, {"x": 1, "y": 2}, {"y": 2.0, "x": 1}, "1", "1"]):
        await container.create_item({"id": str(number), "pk": "a", "v": value})
    assert len(await select(container, query, partition_key="a")) == expected
    assert len(select_by_plan(container, query)) == expected
