"""Documents are kept in the order that queries ask for: the same answers, without looking at all of them."""

from __future__ import annotations

import random
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.emulators.cosmos.stores import emulator_of, open_catalogue

from cloudscale.emulators.cosmos import ordered_members, orderings, queries
from cloudscale.emulators.cosmos.ordered_members import find_order
from cloudscale.emulators.cosmos.orderings import keep_in_order
from cloudscale.emulators.cosmos.protocol import Request
from cloudscale.emulators.cosmos.queries import run_query
from cloudscale.emulators.cosmos.query.text_bounds import TextBounds

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import AsyncIterator
    from pathlib import Path

    from cloudscale.emulators.cosmos.documents import Documents
    from cloudscale.emulators.cosmos.emulator import Emulator

DOCUMENTS = 60
PAGE_ITEMS = 7
VALUES: list[Any] = [None, True, False, -1, 0, 0.5, 10, 1e300, "", "a", "ab", "é", "\u0000", [1], {"x": 1}]
UNDEFINED = object()


@pytest.fixture(autouse=True)
def small_containers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep orders of small containers too, and leave some documents to be looked at one by one."""
    monkeypatch.setattr(ordered_members, "LEAST_DOCUMENTS", 1)
    monkeypatch.setattr(ordered_members, "DOCUMENTS_PER_STEP", 10)
    monkeypatch.setattr(queries, "LARGEST_SEARCH", 3)


@pytest.fixture
async def emulator(tmp_path: Path) -> AsyncIterator[Emulator]:
    async with open_catalogue(tmp_path) as (storage, catalogue):
        yield emulator_of(storage, catalogue)


@pytest.fixture
def documents(emulator: Emulator) -> Documents:
    return next(iter(emulator.catalogue.all_containers()))


@pytest.fixture
def looked_at(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The texts of documents that SQLite has asked about bounds."""
    texts: list[str] = []
    register = TextBounds.register

    def register_counting(bounds: TextBounds, connection: sqlite3.Connection) -> None:
        def holds(text: str) -> bool:
            texts.append(text)
            return bounds.holds(text)

        register(replace(bounds, holds=holds), connection)

    monkeypatch.setattr(TextBounds, "register", register_counting)
    return texts


def body(number: int, value: Any) -> bytes:
    member = {} if value is UNDEFINED else {"v": value}
    return msgspec.json.encode({"id": str(number), "pk": "ab"[number % 2], **member})


async def put(emulator: Emulator, documents: Documents, number: int, value: Any) -> None:
    await emulator.storage.write(lambda: documents.upsert(body(number, value), None))


async def pages(emulator: Emulator, documents: Documents, query: str, partition: str | None) -> list[Any]:
    """All results, a few at a time."""
    headers = {"x-ms-max-item-count": str(PAGE_ITEMS), "x-ms-documentdb-partitionkeyrangeid": "0"}
    if partition is not None:
        headers["x-ms-documentdb-partitionkey"] = f'["{partition}"]'
    results: list[Any] = []
    while True:
        request = Request("POST", "/", headers, msgspec.json.encode({"query": query}))
        response = await run_query(emulator, documents, request)
        results += msgspec.json.decode(response.body)["Documents"]
        token = response.headers.get("x-ms-continuation")
        if token is None:
            return results
        headers = headers | {"x-ms-continuation": token}


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    seed=st.integers(0, 1000),
    order=st.sampled_from(["", " ORDER BY c.v", " ORDER BY c.v DESC", " ORDER BY c._ts", " ORDER BY c._ts DESC"]),
    condition=st.sampled_from(
        [
            *("", " WHERE c.v > 'a'", " WHERE c.v <= 10", " WHERE 'ab' = c.v", " WHERE c.id > '3'"),
            *(" WHERE c.v >= 'a' AND c.v < 'b' AND c.v < 'ab'", " WHERE c.v > 0 AND c.v < 'z'", " WHERE c.id < '2'"),
            *(" WHERE c.v = 'ab' AND c.v < 'z'", " WHERE c._ts > 1 AND c.v >= 0", " WHERE c._ts < 1"),
        ]
    ),
    partition=st.sampled_from([None, "a"]),
)
async def test_an_order_that_is_kept_gives_the_pages_that_sorting_gives(
    tmp_path_factory: pytest.TempPathFactory, seed: int, order: str, condition: str, partition: str | None
) -> None:
    chance = random.Random(seed)
    query = f"SELECT VALUE c.id FROM c{condition}{order}"  # noqa: S608 - a test's own
    async with open_catalogue(tmp_path_factory.mktemp("order")) as (storage, catalogue):
        emulator = emulator_of(storage, catalogue)
        documents = catalogue.containers("db")[0]
        for number in range(DOCUMENTS):
            await put(emulator, documents, number, chance.choice([*VALUES, UNDEFINED]))
        await pages(emulator, documents, query, partition)
        await keep_in_order(emulator, {})
        # Some are out of date now, some are gone, and some are new.
        for number in chance.sample(range(DOCUMENTS), 5):
            await put(emulator, documents, number, chance.choice(VALUES))
        gone = str(chance.randrange(0, DOCUMENTS, 2))
        await storage.write(lambda: documents.delete(gone, ("a",)))
        await put(emulator, documents, DOCUMENTS, "a")
        in_order = await pages(emulator, documents, query, partition)
        await storage.write(lambda: storage.connection.execute("UPDATE orders SET lsn = -1"))
        sorted_each_time = await pages(emulator, documents, query, partition)
    assert in_order == sorted_each_time


async def test_a_page_in_order_looks_at_no_more_documents_than_it_has(emulator: Emulator, documents: Documents) -> None:
    for number in range(DOCUMENTS):
        await put(emulator, documents, number, f"{number:03}")
    headers = {"x-ms-documentdb-partitionkey": '["a"]', "x-ms-documentdb-populatequerymetrics": "true"}
    await pages(emulator, documents, "SELECT * FROM c ORDER BY c.v", None)
    await keep_in_order(emulator, {})
    looked_at = []
    for query in ("ORDER BY c.v DESC", "WHERE c.v < '020' ORDER BY c.v DESC", "ORDER BY c.v"):
        text = msgspec.json.encode({"query": f"SELECT TOP 3 * FROM c {query}"})  # noqa: S608 - a test's own
        response = await run_query(emulator, documents, Request("POST", "/", headers, text))
        metrics = dict(part.split("=") for part in response.headers["x-ms-documentdb-query-metrics"].split(";"))
        looked_at.append(int(metrics["retrievedDocumentCount"]))
    assert max(looked_at) <= 10, "the page's, one more, and each of them once more to answer it"


@pytest.mark.parametrize(
    ("condition", "partition"),
    [("c.v >= '0'", "a"), ("c.v >= '0' AND STARTSWITH(c.pk, 'a')", None), ("c.v >= '0' AND c._ts > 1", "a")],
)
@pytest.mark.parametrize("direction", ["ASC", "DESC"])
async def test_the_last_written_of_a_partition_are_found_without_reading_all_of_it(
    emulator: Emulator,
    documents: Documents,
    condition: str,
    partition: str | None,
    direction: str,
    looked_at: list[str],
) -> None:
    for number in range(DOCUMENTS):
        await put(emulator, documents, number, f"{number:03}")
    query = f"SELECT TOP 3 VALUE c.v FROM c WHERE {condition} ORDER BY c._ts {direction}"  # noqa: S608 - a test's own
    found = await pages(emulator, documents, query, partition)

    assert found == (["058", "056", "054"] if direction == "DESC" else ["000", "002", "004"])
    assert 3 <= len(looked_at) <= 6, "the page's, and at most one more for each"


@pytest.mark.parametrize("order", ["", "ORDER BY c.v", "ORDER BY c._ts DESC", "ORDER BY c.id"])
@pytest.mark.parametrize(
    ("condition", "found"),
    [
        ("c.v < '003'", {"000", "001", "002"}),
        ("c.v < '050' AND c.v < '003'", {"000", "001", "002"}),
        ("c.v > '02' AND c.v <= '021'", {"020", "021"}),
        ("c.v < '000'", set()),
    ],
)
async def test_few_documents_within_bounds_are_found_without_looking_at_the_others(
    emulator: Emulator, documents: Documents, condition: str, found: set[str], order: str, looked_at: list[str]
) -> None:
    for number in range(DOCUMENTS):
        await put(emulator, documents, number, f"{number:03}")
    query = f"SELECT VALUE c.v FROM c WHERE {condition} {order}"  # noqa: S608 - a test's own
    await pages(emulator, documents, query, None)
    await keep_in_order(emulator, {})
    looked_at.clear()

    assert set(await pages(emulator, documents, query, None)) == found
    assert len(looked_at) <= 2 * len(found), "each, and once more to answer it"


async def test_few_documents_of_some_seconds_are_sorted_sooner_than_found_in_order(
    emulator: Emulator, documents: Documents
) -> None:
    for number in range(DOCUMENTS):
        await put(emulator, documents, number, number)
    await pages(emulator, documents, "SELECT * FROM c ORDER BY c.v", None)
    await keep_in_order(emulator, {})
    written = f"UPDATE documents_{documents.container.number} SET ts = ts + 10 WHERE number > {DOCUMENTS - 2}"  # noqa: S608
    last = emulator.storage.connection.execute(f"{written} RETURNING ts, id").fetchall()
    # What is read from the order would be nothing now.
    emulator.storage.connection.execute("DELETE FROM ordered_1")
    query = f"SELECT VALUE c.id FROM c WHERE c._ts = {last[0][0]} ORDER BY c.v"  # noqa: S608 - a test's own
    assert await pages(emulator, documents, query, None) == [name.decode() for _, name in last]
    partition = "ab"[int(last[0][1]) % 2]
    assert await pages(emulator, documents, query, partition) == [last[0][1].decode()]


async def test_documents_that_are_named_are_not_looked_for_in_the_order_of_all(
    emulator: Emulator, documents: Documents
) -> None:
    for number in range(DOCUMENTS):
        await put(emulator, documents, number, number)
    await pages(emulator, documents, "SELECT * FROM c ORDER BY c.v", None)
    await keep_in_order(emulator, {})
    # What is read from the order would be nothing now.
    emulator.storage.connection.execute("DELETE FROM ordered_1")
    query = "SELECT VALUE c.id FROM c WHERE c.id IN ('2', '4') ORDER BY c.v DESC"
    assert await pages(emulator, documents, query, "a") == ["4", "2"]


async def test_an_order_is_read_from_an_index(emulator: Emulator, documents: Documents) -> None:
    for number in range(DOCUMENTS):
        await put(emulator, documents, number, number)
    await pages(emulator, documents, "SELECT * FROM c ORDER BY c.v", None)
    order = find_order(emulator.storage.connection, documents.container.number, "v")
    assert order is not None
    plan = emulator.storage.connection.execute(
        f"EXPLAIN QUERY PLAN SELECT d.body FROM {order.table} AS e CROSS JOIN documents_1 AS d ON d.number = e.number"  # noqa: S608
        " WHERE +e.partition = 1 AND d.lsn = e.lsn ORDER BY e.kind DESC, e.value DESC, e.number"
    ).fetchall()
    steps = " | ".join(step[3].decode() for step in plan)
    assert f"SCAN e USING COVERING INDEX {order.table}_value" in steps
    assert "USE TEMP B-TREE FOR ORDER BY" not in steps


async def test_a_partition_with_few_documents_is_not_looked_for_in_the_order_of_all(
    emulator: Emulator, documents: Documents
) -> None:
    for number in range(1, 2 * DOCUMENTS, 2):
        await put(emulator, documents, number, number)
    await put(emulator, documents, 2, -1)
    await pages(emulator, documents, "SELECT * FROM c ORDER BY c.v", None)
    await keep_in_order(emulator, {})
    # What is read from the order would be nothing now.
    emulator.storage.connection.execute("DELETE FROM ordered_1")
    assert await pages(emulator, documents, "SELECT VALUE c.id FROM c ORDER BY c.v", "a") == ["2"]


async def test_numbers_that_have_no_place_in_an_index_are_sorted_each_time(
    emulator: Emulator, documents: Documents
) -> None:
    for number, value in enumerate([2**70 + 2, 2**70, 2**70 + 1, 5]):
        await put(emulator, documents, number, value)
    query = "SELECT VALUE c.id FROM c ORDER BY c.v"
    assert await pages(emulator, documents, query, None) == ["3", "1", "2", "0"]
    assert find_order(emulator.storage.connection, documents.container.number, "v") is None


async def test_orders_are_brought_up_to_date_when_little_is_written(
    emulator: Emulator, documents: Documents, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(orderings, "BUSY_WRITES", DOCUMENTS // 2)
    await put(emulator, documents, 0, 0)
    await pages(emulator, documents, "SELECT * FROM c ORDER BY c.v", None)
    seen: dict[int, int] = {}
    await keep_in_order(emulator, seen)
    for number in range(1, DOCUMENTS):
        await put(emulator, documents, number, number)
    await keep_in_order(emulator, seen)
    busy = find_order(emulator.storage.connection, documents.container.number, "v")
    await keep_in_order(emulator, seen)
    calm = find_order(emulator.storage.connection, documents.container.number, "v")
    assert busy is not None
    assert calm is not None
    assert busy.lsn == 1
    assert documents.lsn - calm.lsn < ordered_members.DOCUMENTS_PER_STEP


async def test_transactions_are_brought_into_order_by_their_documents(
    emulator: Emulator, documents: Documents, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(orderings, "BUSY_WRITES", DOCUMENTS + 1)

    def transaction(first: int) -> None:
        with documents.transaction():
            for number in range(first, first + DOCUMENTS // 2):
                documents.upsert(body(number, number), None)

    await put(emulator, documents, 0, 0)
    await pages(emulator, documents, "SELECT * FROM c ORDER BY c.v", None)
    seen = {documents.container.number: documents.lsn}
    for first in (1, 1 + DOCUMENTS // 2):
        await emulator.storage.write(partial(transaction, first))
    await keep_in_order(emulator, seen)
    order = find_order(emulator.storage.connection, documents.container.number, "v")
    assert order is not None
    assert order.lsn == documents.lsn == 3

    # As many documents as are too many to order meanwhile, in two writes.
    monkeypatch.setattr(orderings, "BUSY_WRITES", DOCUMENTS)
    for first in (1, 1 + DOCUMENTS // 2):
        await emulator.storage.write(partial(transaction, first))
    await keep_in_order(emulator, seen)
    assert find_order(emulator.storage.connection, documents.container.number, "v") == order


async def test_an_order_survives_a_restart_and_goes_with_its_container(tmp_path: Path) -> None:
    async with open_catalogue(tmp_path) as (storage, catalogue):
        documents = catalogue.containers("db")[0]
        await put(emulator_of(storage, catalogue), documents, 0, 0)
        await pages(emulator_of(storage, catalogue), documents, "SELECT * FROM c ORDER BY c.v", None)
    async with open_catalogue(tmp_path) as (storage, catalogue):
        documents = catalogue.containers("db")[0]
        assert documents.orders.members == ["v"]
        await storage.write(lambda: catalogue.delete_container(documents))
        tables = storage.connection.execute("SELECT name FROM sqlite_master WHERE name LIKE 'ordered%'").fetchall()
        assert tables == []


async def test_a_small_container_keeps_no_order(
    emulator: Emulator, documents: Documents, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ordered_members, "LEAST_DOCUMENTS", 2)
    await put(emulator, documents, 0, 0)
    await pages(emulator, documents, "SELECT * FROM c ORDER BY c.v", None)
    assert documents.orders.members == []
