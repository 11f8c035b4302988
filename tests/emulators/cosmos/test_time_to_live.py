"""Times to live, on a clock that the test turns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from tests.emulators.cosmos.stores import DEFINITION, emulator_of, open_documents

from cloudscale.emulators.cosmos.catalogue import Catalogue
from cloudscale.emulators.cosmos.change_feed import read_changes
from cloudscale.emulators.cosmos.errors import CosmosError
from cloudscale.emulators.cosmos.protocol import Request
from cloudscale.emulators.cosmos.queries import run_query

if TYPE_CHECKING:
    from pathlib import Path

    from cloudscale.emulators.cosmos.documents import Documents
    from cloudscale.emulators.cosmos.storage import Storage

NOON = 1_800_000_000


class Time:
    """What the emulator takes for the time."""

    def __init__(self) -> None:
        self.now = NOON

    def time(self) -> float:
        return self.now + 0.5


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Time:
    """The time, for the emulator only."""
    clock = Time()
    for module in ("clock", "queries", "change_feed"):
        monkeypatch.setattr(f"cloudscale.emulators.cosmos.{module}.time", clock)
    return clock


async def store(storage: Storage, documents: Documents, name: str, **members: Any) -> None:
    body = msgspec.json.encode({"id": name, "pk": "a", **members})
    await storage.write(lambda: documents.create(body, None))


# The only one here, so a query to it is about everything.
FIRST_RANGE = {"x-ms-documentdb-partitionkeyrangeid": "0"}


async def ids(storage: Storage, documents: Documents, where: str = "", **headers: str) -> list[str]:
    """The ids that a query finds."""
    body = msgspec.json.encode({"query": " ".join(("SELECT VALUE c.id FROM c", where))})
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    response = await run_query(
        emulator_of(storage, Catalogue(storage)), documents, Request("POST", "", FIRST_RANGE | given, body)
    )
    found: list[str] = msgspec.json.decode(response.body)["Documents"]
    return found


async def count(storage: Storage, documents: Documents, **headers: str) -> int:
    body = msgspec.json.encode({"query": "SELECT VALUE COUNT(1) FROM c"})
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    response = await run_query(
        emulator_of(storage, Catalogue(storage)), documents, Request("POST", "", FIRST_RANGE | given, body)
    )
    (found,) = msgspec.json.decode(response.body)["Documents"]
    return int(found)


async def test_expired_items_are_invisible_at_once_everywhere(tmp_path: Path, clock: Time) -> None:
    async with open_documents(tmp_path, {**DEFINITION, "defaultTtl": 100}) as (storage, documents):
        await store(storage, documents, "default")
        await store(storage, documents, "short", ttl=10)
        await store(storage, documents, "for-ever", ttl=-1)
        clock.now += 10
        await store(storage, documents, "later")
        assert await ids(storage, documents) == ["default", "for-ever", "later"]
        clock.now += 90
        with pytest.raises(CosmosError):
            documents.find(("a",), "default")
        assert await ids(storage, documents) == ["for-ever", "later"]
        assert await ids(storage, documents, "WHERE c.id IN ('default', 'later')") == ["later"]
        assert await count(storage, documents) == 2
        assert await count(storage, documents, x_ms_documentdb_partitionkey='["a"]') == 2
        feed = await read_changes(
            emulator_of(storage, Catalogue(storage)), documents, Request("GET", "", {"a-im": "Incremental Feed"})
        )
        assert [item["id"] for item in msgspec.json.decode(feed.body)["Documents"]] == ["for-ever", "later"]


async def test_an_expired_id_can_be_created_again(tmp_path: Path, clock: Time) -> None:
    async with open_documents(tmp_path, {**DEFINITION, "defaultTtl": 100}) as (storage, documents):
        await store(storage, documents, "1", n=1)
        clock.now += 100
        await store(storage, documents, "1", n=2)
        assert documents.count == 1
        assert b'"n":2' in documents.find(("a",), "1").body


async def test_reaping_removes_the_expired_and_nothing_else(tmp_path: Path, clock: Time) -> None:
    async with open_documents(tmp_path, {**DEFINITION, "defaultTtl": 100}) as (storage, documents):
        for number in range(20):
            await store(storage, documents, f"old-{number}")
        await store(storage, documents, "short", ttl=5)
        await store(storage, documents, "for-ever", ttl=-1)
        clock.now += 100
        await store(storage, documents, "new")
        while numbers := documents.expired(6):
            await storage.write(lambda numbers=numbers: documents.expire(numbers))  # type: ignore[misc]
        assert documents.count == 2
        rows = storage.connection.execute("SELECT id FROM documents_1 ORDER BY number").fetchall()
        assert rows == [(b"for-ever",), (b"new",)]


async def test_times_to_live_count_only_in_containers_that_have_them_on(tmp_path: Path, clock: Time) -> None:
    async with open_documents(tmp_path) as (storage, documents):
        await store(storage, documents, "short", ttl=5)
        clock.now += 50
        assert await ids(storage, documents) == ["short"]
        assert documents.expired(10) == []


async def test_a_container_without_a_default_expires_only_what_says_so(tmp_path: Path, clock: Time) -> None:
    async with open_documents(tmp_path, {**DEFINITION, "defaultTtl": -1}) as (storage, documents):
        await store(storage, documents, "short", ttl=5)
        await store(storage, documents, "plain")
        clock.now += 5
        assert await ids(storage, documents) == ["plain"]
        assert await count(storage, documents) == 1


async def test_a_write_renews_the_time_to_live(tmp_path: Path, clock: Time) -> None:
    async with open_documents(tmp_path, {**DEFINITION, "defaultTtl": 100}) as (storage, documents):
        await store(storage, documents, "1")
        clock.now += 60
        await storage.write(lambda: documents.upsert(b'{"id":"1","pk":"a","n":2}', None))
        clock.now += 60
        assert await ids(storage, documents) == ["1"]
        assert documents.expired(10) == []


async def test_the_clock_never_goes_back(tmp_path: Path, clock: Time) -> None:
    async with open_documents(tmp_path) as (storage, documents):
        await store(storage, documents, "1")
        clock.now -= 1000
        await store(storage, documents, "2")
        assert documents.find(("a",), "2").timestamp == NOON
    async with open_documents(tmp_path) as (storage, documents):
        await store(storage, documents, "3")
        assert documents.find(("a",), "3").timestamp == NOON
