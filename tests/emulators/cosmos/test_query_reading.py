"""A query reads few documents where an index or their text tells enough."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING

import pytest
from tests.emulators.cosmos.stores import open_documents

from cloudscale.emulators.cosmos.extents import Extent
from cloudscale.emulators.cosmos.queries import prepare
from cloudscale.emulators.cosmos.query.parser import parse_query
from cloudscale.emulators.cosmos.query.request import QueryRequest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from cloudscale.emulators.cosmos.documents import Documents
    from cloudscale.emulators.cosmos.query.execution import Page
    from cloudscale.emulators.cosmos.storage import Storage

DOCUMENTS = 500
Stored = tuple["Storage", "Documents"]


@pytest.fixture
async def stored(tmp_path: Path) -> AsyncIterator[Stored]:
    """Documents whose ``name`` is their number, the hundredth of them marked."""
    async with open_documents(tmp_path) as (storage, documents):
        for number in range(DOCUMENTS):
            document = {"id": f"{number}", "pk": "a", "name": f"n{number:03}", "marked": number == 99}
            await storage.write(partial(documents.create, json.dumps(document).encode(), None))
        yield storage, documents


async def page_of(stored: Stored, query: str) -> Page:
    """The first page of a query over everything, of at most ten results."""
    storage, documents = stored
    work = prepare(documents, parse_query(query), QueryRequest(query), Extent())
    return await storage.query(lambda connection: work(connection, 10, None))


async def test_the_last_written_are_found_without_a_look_at_the_others(stored: Stored) -> None:
    page = await page_of(stored, "SELECT TOP 10 * FROM c WHERE c.pk != 'b' ORDER BY c._ts DESC")
    assert len(page.results) == 10
    assert page.read == 10


@pytest.mark.parametrize("condition", ["c.name = 'n099'", "c.marked = true", "c.marked = true AND c.name = 'n099'"])
async def test_documents_without_the_text_of_a_value_are_not_read(stored: Stored, condition: str) -> None:
    page = await page_of(stored, f"SELECT VALUE c.id FROM c WHERE {condition} ORDER BY c.name")  # noqa: S608 - ours
    assert page.results == [b'"99"']
    assert page.read <= 2


@pytest.mark.parametrize("condition", ["c.name < 'n001'", "'n001' > c.name", "c.name >= 'n000' AND c.name <= 'n000'"])
async def test_documents_beyond_a_bound_are_not_read(stored: Stored, condition: str) -> None:
    page = await page_of(stored, f"SELECT TOP 10 VALUE c.id FROM c WHERE {condition} ORDER BY c._ts DESC")  # noqa: S608 - ours
    assert page.results == [b'"0"']
    assert page.read == 1


async def test_documents_within_a_bound_are_counted_without_being_read(stored: Stored) -> None:
    page = await page_of(stored, "SELECT VALUE COUNT(1) FROM c WHERE c.name < 'n123'")
    assert page.results == [b"123"]
    assert page.read == 0


async def test_documents_without_the_text_of_one_alternative_are_read_for_the_others(stored: Stored) -> None:
    page = await page_of(stored, "SELECT VALUE c.id FROM c WHERE c.name = 'n001' OR c.name = 'n002'")
    assert page.results == [b'"1"', b'"2"']
