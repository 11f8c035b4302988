"""Queries are bounded in time and memory, and nobody waits for somebody else's."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import pytest
from tests.emulators.cosmos.test_queries import select

from cloudscale.emulators.cosmos.errors import CosmosError
from cloudscale.emulators.cosmos.query.execution import MAXIMUM_PAGE_BYTES, run_page
from cloudscale.emulators.cosmos.query.parser import parse_query
from cloudscale.emulators.cosmos.query.scope import Compilation, Deadline
from cloudscale.emulators.cosmos.query.selection import compile_query

if TYPE_CHECKING:
    from collections.abc import Iterator

    from azure.cosmos.aio import ContainerProxy

    from cloudscale.emulators.cosmos.query.rows import Position, Row
    from cloudscale.emulators.cosmos.query.values import SortKey

MANY_CHOICES = 8_000
LONGEST_WAIT_SECONDS = 1.0
PAGES_OF_DOCUMENTS = 4


class Documents:
    """Documents that are made as they are read; counts those."""

    def __init__(self, document: dict[str, Any], text: bytes, count: int) -> None:
        self.read = 0
        self._document = document
        self._text = text
        self._count = count

    def start(self, position: Position | None) -> Iterator[Row]:
        for number in range(0 if position is None else position[0], self._count):
            self.read += 1
            yield Document((number,), self._document, self._text)

    def fetch(self, position: Position) -> Row | None:
        return Document(position, self._document, self._text)

    def in_order(self, after: SortKey | None) -> None:
        """They are in none."""


class Document:
    """One of them."""

    def __init__(self, position: Position, document: dict[str, Any], text: bytes) -> None:
        self.position = position
        self._document = document
        self._text = text

    def load(self) -> dict[str, Any]:
        return self._document

    def render(self) -> bytes:
        return self._text


def seconds_for(choices: int) -> float:
    """CPU seconds for a query with so many parameters in IN, over a hundred documents that it does not find."""
    query = parse_query(
        " ".join(("SELECT VALUE c.id FROM c WHERE c.v IN (", ",".join(f"@p{n}" for n in range(choices)), ")"))
    )
    compilation = Compilation({f"@p{number}": f"v{number}" for number in range(choices)})
    started = time.process_time()
    selection = compile_query(query, compilation, where=query.where)
    documents = Documents({"v": "none"}, b"{}", 100)
    run_page(selection, documents, places=compilation.places, page_size=10, continuation=None)
    return time.process_time() - started


def test_in_takes_time_in_proportion_to_its_choices() -> None:
    few = min(seconds_for(MANY_CHOICES // 8) for _ in range(3))
    many = min(seconds_for(MANY_CHOICES) for _ in range(3))
    # Pairwise comparison would take 64 times as long.
    assert many < 24 * few


async def test_a_query_with_many_choices_lets_others_go_first(container: ContainerProxy) -> None:
    for number in range(20):
        await container.create_item({"id": str(number), "pk": "a", "v": f"v{number}"})
    names = [f"@p{number}" for number in range(MANY_CHOICES)]
    query = " ".join(("SELECT VALUE c.id FROM c WHERE c.v IN (", ", ".join(names), ")"))
    values = {name: f"v{number}" for number, name in enumerate(names)}
    running = asyncio.create_task(select(container, query, partition_key="a", values=values))
    longest = 0.0
    while not running.done():
        started = time.perf_counter()
        await container.read_item("1", "a")
        longest = max(longest, time.perf_counter() - started)
    assert len(await running) == 20
    assert longest < LONGEST_WAIT_SECONDS


def test_a_query_that_takes_too_long_is_ended() -> None:
    arrays = {"a": list(range(1000))}
    query = parse_query("SELECT VALUE COUNT(1) FROM c JOIN x IN c.a JOIN y IN c.a JOIN z IN c.a WHERE x = y + z")
    compilation = Compilation({}, deadline=Deadline(0.2))
    selection = compile_query(query, compilation, where=query.where)
    started = time.monotonic()
    with pytest.raises(CosmosError, match="longer than") as caught:
        run_page(selection, Documents(arrays, b"{}", 1), places=compilation.places, page_size=10, continuation=None)
    assert caught.value.status == 408
    assert time.monotonic() - started < 5


def test_a_page_reads_no_more_large_documents_than_it_can_hold() -> None:
    text = b"x" * 2_000_000
    documents = Documents({"v": 1}, text, 1_000)
    query = parse_query("SELECT * FROM c")
    compilation = Compilation({})
    selection = compile_query(query, compilation, where=None)
    page = run_page(selection, documents, places=compilation.places, page_size=1_000, continuation=None)
    assert page.token is not None
    assert page.size <= MAXIMUM_PAGE_BYTES + len(text)
    assert documents.read <= PAGES_OF_DOCUMENTS


async def test_pages_of_large_documents_are_complete(container: ContainerProxy) -> None:
    for number in range(6):
        await container.create_item({"id": str(number), "pk": "a", "text": "x" * 900_000})
    found = await select(container, "SELECT * FROM c", partition_key="a", max_item_count=100)
    assert [item["id"] for item in found] == ["0", "1", "2", "3", "4", "5"]
    query = "SELECT * FROM c ORDER BY c.id DESC"
    ordered = await select(container, query, partition_key="a", max_item_count=100)
    assert [item["id"] for item in ordered] == ["5", "4", "3", "2", "1", "0"]
