"""The unique index in two levels."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec
import pytest
from tests.emulators.cosmos.stores import break_transaction, open_documents

from cloudscale.emulators.cosmos import key_index
from cloudscale.emulators.cosmos.errors import CosmosError

if TYPE_CHECKING:
    from pathlib import Path

    from cloudscale.emulators.cosmos.documents import Documents
    from cloudscale.emulators.cosmos.storage import Storage


@pytest.fixture
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Merge often and in small slices, so that every state of a merge is met."""
    monkeypatch.setattr(key_index, "YOUNG_KEYS", 40)
    monkeypatch.setattr(key_index, "MERGE_SLICE", 7)


async def create(storage: Storage, documents: Documents, number: int) -> None:
    body = msgspec.json.encode({"id": f"item-{number}", "pk": f"p{number % 3}", "n": number})
    await storage.write(lambda: documents.create(body, None))


def expect(documents: Documents, present: set[int], gone: set[int]) -> None:
    for number in present:
        assert documents.find((f"p{number % 3}",), f"item-{number}").id == f"item-{number}"
    for number in gone:
        with pytest.raises(CosmosError):
            documents.find((f"p{number % 3}",), f"item-{number}")


@pytest.mark.usefixtures("small_steps")
async def test_keys_are_found_before_during_and_after_merges_and_restarts(tmp_path: Path) -> None:
    gone: set[int] = set()
    for start in range(0, 600, 150):
        async with open_documents(tmp_path) as (storage, documents):
            for number in range(start, start + 150):
                await create(storage, documents, number)
                if number % 4 == 0:
                    victim = number // 2
                    if victim not in gone:
                        await storage.write(
                            lambda victim=victim: documents.delete(f"item-{victim}", (f"p{victim % 3}",))  # type: ignore[misc]
                        )
                        gone.add(victim)
            expect(documents, set(range(start + 150)) - gone, gone)
            (merged,) = storage.connection.execute("SELECT merged FROM containers").fetchone()
            assert merged > 0
    async with open_documents(tmp_path) as (storage, documents):
        expect(documents, set(range(600)) - gone, gone)
        assert documents.count == 600 - len(gone)


@pytest.mark.usefixtures("small_steps")
async def test_a_merged_key_stays_unique_and_can_be_used_again_after_a_delete(tmp_path: Path) -> None:
    async with open_documents(tmp_path) as (storage, documents):
        for number in range(200):
            await create(storage, documents, number)
        for number in (0, 50, 199):
            with pytest.raises(CosmosError, match="already exists"):
                await create(storage, documents, number)
            await storage.write(lambda number=number: documents.delete(f"item-{number}", (f"p{number % 3}",)))  # type: ignore[misc]
            await create(storage, documents, number)
        expect(documents, set(range(200)), set())


@pytest.mark.usefixtures("small_steps")
async def test_a_renamed_document_is_found_after_merges_and_restarts(tmp_path: Path) -> None:
    numbers = (0, 60, 119)
    async with open_documents(tmp_path) as (storage, documents):
        for number in range(120):
            await create(storage, documents, number)
        for number in numbers:
            body = msgspec.json.encode({"id": f"item-{number + 300}", "pk": f"p{number % 3}"})
            await storage.write(
                lambda number=number, body=body: documents.replace(f"item-{number}", body, (f"p{number % 3}",))  # type: ignore[misc]
            )
    for _ in range(2):
        async with open_documents(tmp_path) as (storage, documents):
            expect(documents, {*range(120), *(number + 300 for number in numbers)} - {*numbers}, {*numbers})
            for number in range(500, 560):
                await storage.write(
                    lambda number=number: documents.upsert(  # type: ignore[misc]
                        msgspec.json.encode({"id": f"item-{number}", "pk": "p0"}), None
                    )
                )


@pytest.mark.usefixtures("small_steps")
async def test_keys_that_are_looked_up_together_are_those_that_are_found_one_by_one(tmp_path: Path) -> None:
    async with open_documents(tmp_path) as (storage, documents):
        for number in range(150):
            await create(storage, documents, number)
        ids = [f"item-{number}" for number in range(0, 300, 3)]

        def delete_and_create_again() -> list[bool]:
            documents.look_ahead(("p0",), ids)
            documents.delete("item-3", ("p0",))
            missing = []
            for number in (0, 3, 147, 297):
                try:
                    documents.create(msgspec.json.encode({"id": f"item-{number}", "pk": "p0"}), None)
                except CosmosError:
                    missing.append(False)
                else:
                    missing.append(True)
            return missing

        assert await storage.write(delete_and_create_again) == [False, True, False, True]
        expect(documents, {0, 3, 147, 297}, {300})
        for number in (0, 3, 147, 297):
            with pytest.raises(CosmosError, match="already exists"):
                await create(storage, documents, number)


async def expect_all(storage: Storage, documents: Documents, numbers: set[int]) -> None:
    """Each of them is found, and none can be created a second time."""
    expect(documents, numbers, set())
    for number in numbers:
        with pytest.raises(CosmosError, match="already exists"):
            await create(storage, documents, number)


@pytest.mark.usefixtures("small_steps")
async def test_a_merge_that_fails_loses_no_key_and_is_done_later(tmp_path: Path) -> None:
    async with open_documents(tmp_path) as (storage, documents):
        refuse = "BEFORE INSERT ON keys_1 WHEN (SELECT count(*) FROM keys_1) % 7 = 3"
        storage.connection.execute(f"CREATE TRIGGER refuse {refuse} BEGIN SELECT RAISE(ABORT, 'refused'); END")
        for number in range(100):
            await create(storage, documents, number)
        await expect_all(storage, documents, set(range(100)))
        storage.connection.execute("DROP TRIGGER refuse")
        for number in range(100, 150):
            await create(storage, documents, number)
        await expect_all(storage, documents, set(range(150)))
        (merged,) = storage.connection.execute("SELECT merged FROM containers").fetchone()
        assert merged >= 100
    async with open_documents(tmp_path) as (storage, documents):
        await expect_all(storage, documents, set(range(150)))


@pytest.mark.usefixtures("small_steps")
async def test_a_merge_whose_commit_fails_loses_no_key(tmp_path: Path) -> None:
    async with open_documents(tmp_path) as (storage, documents):
        for number in range(42):
            await create(storage, documents, number)
        # The next write asks for another slice, and what is asked for after it is in the same transaction as that.
        _, broken = await asyncio.gather(
            storage.write(lambda: documents.create(b'{"id":"item-42","pk":"p0"}', None)),
            storage.write(lambda: storage.write(lambda: break_transaction(storage))),
        )
        with pytest.raises(CosmosError, match="cannot write"):
            await broken
        for number in range(43, 150):
            await create(storage, documents, number)
        await expect_all(storage, documents, set(range(150)))
    async with open_documents(tmp_path) as (storage, documents):
        await expect_all(storage, documents, set(range(150)))
