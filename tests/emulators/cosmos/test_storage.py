"""The storage below everything: groups, failures, and long reads beside writes."""

from __future__ import annotations

import asyncio
import time
from datetime import timedelta
from typing import TYPE_CHECKING

import msgspec
import pytest
from tests.emulators.cosmos.stores import open_documents
from tests.waiting import wait_until

from cloudscale.emulators.cosmos import storage as storage_module
from cloudscale.emulators.cosmos.errors import CosmosError

if TYPE_CHECKING:
    import sqlite3
    from pathlib import Path

    from cloudscale.emulators.cosmos.documents import Documents
    from cloudscale.emulators.cosmos.storage import Storage


async def create(storage: Storage, documents: Documents, name: str, size: int = 10) -> None:
    body = msgspec.json.encode({"id": name, "pk": "a", "padding": "x" * size})
    await storage.write(lambda: documents.create(body, None))


async def test_a_full_disk_fails_the_writes_and_nothing_else(tmp_path: Path) -> None:
    async with open_documents(tmp_path) as (storage, documents):
        await create(storage, documents, "before")
        (pages,) = storage.connection.execute("PRAGMA page_count").fetchone()
        storage.connection.execute(f"PRAGMA max_page_count={pages + 2}")
        with pytest.raises(CosmosError) as caught:
            await create(storage, documents, "too-much", size=1_000_000)
        assert caught.value.status == 503
        assert documents.count == 1
        storage.connection.execute("PRAGMA max_page_count=1000000")
        await create(storage, documents, "too-much", size=1_000_000)
        assert documents.find(("a",), "before").id == "before"
        assert documents.count == 2


async def test_a_write_to_a_container_that_was_dropped_fails_alone(tmp_path: Path) -> None:
    async with open_documents(tmp_path) as (storage, documents):
        storage.connection.execute("DROP TABLE documents_1")
        lost, kept = await asyncio.gather(
            storage.write(lambda: documents.create(b'{"id":"1","pk":"a"}', None)),
            storage.write(lambda: "kept"),
            return_exceptions=True,
        )
        assert isinstance(lost, CosmosError)
        assert (lost.status, lost.substatus) == (404, 1003)
        assert kept == "kept"


async def test_writes_go_on_while_a_query_takes_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage_module, "LOG_BYTES", 0)
    monkeypatch.setattr(storage_module, "CHECKPOINT_SECONDS", 0.01)

    slow = (
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 4000000) "
        "SELECT count(*) + (SELECT count(*) FROM documents_1) FROM n"
    )

    def count_slowly(connection: sqlite3.Connection) -> int:
        (count,) = connection.execute(slow).fetchone()
        return int(count)

    async with open_documents(tmp_path) as (storage, documents):
        await create(storage, documents, "first")
        query = asyncio.create_task(storage.query(count_slowly))
        longest = 0.0
        written = 0
        asked = time.perf_counter()
        while not query.done():
            started = time.perf_counter()
            await create(storage, documents, f"item-{written}", size=2000)
            longest = max(longest, time.perf_counter() - started)
            written += 1
            await asyncio.sleep(0)
        assert written > 10
        # A write that waited for the query would take as long as that.
        assert longest < (time.perf_counter() - asked) / 2
        assert await query >= 4_000_001


async def test_the_log_is_cut_back_when_it_has_grown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage_module, "LOG_BYTES", 100_000)
    monkeypatch.setattr(storage_module, "CHECKPOINT_SECONDS", 0.01)
    async with open_documents(tmp_path) as (storage, documents):
        for number in range(20):
            await create(storage, documents, str(number), size=50_000)
        log = tmp_path / "cosmos.sqlite-wal"

        async def is_cut_back() -> bool:
            # A pass may find a write under way and leave the log for the next one, which a write brings about.
            await storage.write(lambda: None)
            return log.stat().st_size <= 100_000

        await wait_until(is_cut_back, within=timedelta(seconds=10))
        assert documents.count == 20
