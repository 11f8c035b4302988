"""What values are after a query has computed with them: doubles to the last digit, texts with U+0000, large numbers."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from azure.cosmos.exceptions import CosmosHttpResponseError
from tests.emulators.cosmos.test_queries import select

if TYPE_CHECKING:
    from azure.cosmos.aio import ContainerProxy

NUMBERS: dict[str, Any] = {
    "id": "1",
    "pk": "a",
    "time": 1700000000.123456,
    "a": 0.1,
    "b": 0.2,
    "large": 1e308,
    "max": 9223372036854775807,
}


async def compute(container: ContainerProxy, text: str, **values: Any) -> list[Any]:
    """The results of an expression over the items of one partition."""
    named = {f"@{name}": value for name, value in values.items()}
    return await select(container, " ".join(("SELECT VALUE", text, "FROM c")), partition_key="a", values=named)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("MAX(c.time)", 1700000000.123456),
        ("AVG(c.time)", 1700000000.123456),
        ("SUM(c.a)", 0.1),
        ("c.time + 0", 1700000000.123456),
        ("-c.time", -1700000000.123456),
        ("@p", 0.1 + 0.2),
        ("[@p, c.a + c.b]", [0.1 + 0.2, 0.1 + 0.2]),
        ("c.a + c.b = 0.3", False),
        ("1 / 3", 1 / 3),
        ("4 / 2", 2),
        ("c.max + 1", 9223372036854775808.0),
        ("c.max * 2", 18446744073709551614.0),
        ("SUM(c.max)", 9223372036854775807.0),
        ("FLOOR(c.large)", 1e308),
        ("ABS(-9223372036854775808)", 9223372036854775808.0),
    ],
)
async def test_computed_numbers_keep_all_their_digits(container: ContainerProxy, text: str, expected: Any) -> None:
    await container.create_item(NUMBERS)
    assert await compute(container, text, p=0.1 + 0.2) == [expected]


@pytest.mark.parametrize(
    "text",
    [
        "c.large * 10",
        "-c.large * 10",
        "SUM(c.large * 10)",
        "MAX(c.large * 10)",
        "[c.large * 10]",
        "{'x': c.large * 10}",
    ],
)
async def test_what_is_beyond_a_double_is_undefined_and_never_wrong_json(container: ContainerProxy, text: str) -> None:
    await container.create_item(NUMBERS)
    results = await compute(container, text)
    assert json.loads(json.dumps(results, allow_nan=False)) == results


async def test_sums_near_the_largest_integer_are_doubles(container: ContainerProxy) -> None:
    for number in range(3):
        await container.create_item({"id": str(number), "pk": "a", "n": 2**63 - 1})
    assert await compute(container, "SUM(c.n)") == [float(3 * (2**63 - 1))]


async def test_undefined_values_are_left_out_of_aggregates_and_others_make_sums_undefined(
    container: ContainerProxy,
) -> None:
    items: list[dict[str, Any]] = [{"n": 1, "m": 1}, {"n": 3, "m": "x"}, {}]
    for number, more in enumerate(items):
        await container.create_item({"id": str(number), "pk": "a", **more})
    expression = (
        "{'sum': SUM(c.n), 'avg': AVG(c.n), 'min': MIN(c.m), 'max': MAX(c.m), 'count': COUNT(c.n), 'm': SUM(c.m)}"
    )
    assert await compute(container, expression) == [{"sum": 4, "avg": 2, "min": 1, "max": "x", "count": 2}]
    assert await compute(container, "AVG(c.none)") == []
    assert await compute(container, "SUM(undefined)") == [0]
    assert await compute(container, "COUNT(undefined)") == [0]


async def test_a_query_without_from_has_one_result(container: ContainerProxy) -> None:
    await container.create_item(NUMBERS)
    for query, expected in (
        ("SELECT VALUE 1", [1]),
        ("SELECT 1 AS a, 'x' AS b", [{"a": 1, "b": "x"}]),
        ("SELECT VALUE x FROM x IN [1, 2]", [1, 2]),
    ):
        assert await select(container, query, partition_key="a") == expected


TEXTS = {"1": "a\x00b", "2": "a", "3": "a\x00c", "4": "\x00", "5": "", "6": "a\x00b"}


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("c.s = @v", ["1", "6"]),
        ("c.s = 'a'", ["2"]),
        ("c.s = 'a\\u0000b'", ["1", "6"]),
        ("c.s IN (@v, 'x')", ["1", "6"]),
        ("c.s > 'a' AND c.s < 'b'", ["1", "3", "6"]),
        ("CONTAINS(c.s, 'b')", ["1", "6"]),
        ("STARTSWITH(c.s, 'a\\u0000')", ["1", "3", "6"]),
        ("c.s LIKE 'a_b'", ["1", "6"]),
        ("LENGTH(c.s) = 3", ["1", "3", "6"]),
        ("c.o = {'s': @v}", ["1", "6"]),
        ("ARRAY_CONTAINS([@v], c.s)", ["1", "6"]),
        ("UPPER(c.s) = 'A\\u0000B'", ["1", "6"]),
    ],
)
async def test_a_text_does_not_end_at_a_null_character(
    container: ContainerProxy, condition: str, expected: list[str]
) -> None:
    for name, text in TEXTS.items():
        await container.create_item({"id": name, "pk": "a", "s": text, "o": {"s": text}})
    query = " ".join(("SELECT VALUE c.id FROM c WHERE", condition))
    assert await select(container, query, partition_key="a", values={"@v": "a\x00b"}) == expected


async def test_null_characters_are_kept_in_order_groups_and_pages(container: ContainerProxy) -> None:
    for name, text in TEXTS.items():
        await container.create_item({"id": name, "pk": "a", "s": text})
    query = "SELECT VALUE c.id FROM c ORDER BY c.s"
    assert await select(container, query, partition_key="a", max_item_count=1) == ["5", "4", "2", "1", "6", "3"]
    groups = await select(container, "SELECT c.s, COUNT(1) AS n FROM c GROUP BY c.s", partition_key="a")
    assert {group["s"]: group["n"] for group in groups} == {"a\x00b": 2, "a": 1, "a\x00c": 1, "\x00": 1, "": 1}
    assert await compute(container, "MAX(c.s)") == ["a\x00c"]


@pytest.mark.parametrize("number", ["1e400", "-1E+999", "[1e309]"])
async def test_a_number_beyond_a_double_is_not_stored(container: ContainerProxy, number: str) -> None:
    body = json.loads('{"id": "1", "pk": "a", "n": "NUMBER"}')
    original = json.dumps

    def dumps(value: Any, **options: Any) -> str:
        return original(value, **options).replace('"NUMBER"', number)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("json.dumps", dumps)
        with pytest.raises(CosmosHttpResponseError) as caught:
            await container.create_item(body)
    assert caught.value.status_code == 400
    assert "out of range" in caught.value.message
