"""The proof fails when something is missing, doubled or changed, and says what."""

from __future__ import annotations

import shutil
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from tests.archive.archiving import archive_all, archiving, events, files_of
from tests.store.creating import create_all

from cloudscale.archive import verification
from cloudscale.archive.location import FOLLOWER
from cloudscale.archive.reading import DirectoryReading
from cloudscale.archive.status import status_of
from cloudscale.archive.verification import Verdict, up_to_date_at
from cloudscale.pipeline import load
from cloudscale.store.leases import LeaseStore

if TYPE_CHECKING:
    from pathlib import Path

    from cloudscale.pipeline import Store
    from cloudscale.settings import Settings
    from cloudscale.store.events import EventStore

RESOURCE = load({"apiVersion": "cloudscale.io/v1alpha1", "kind": "EventPipeline", "metadata": {"name": "shop"}})


async def verdict_on(path: Path, store: EventStore) -> Verdict:
    leases = LeaseStore(store, follower=FOLLOWER)
    return await verification.verify(RESOURCE, DirectoryReading(path), store=store, leases=leases)


@pytest.fixture
async def archive(store: EventStore, spec: Store, settings: Settings, tmp_path: Path) -> Path:
    """An archive of 60 events, which are all that is stored."""
    await create_all(store, events(0, 60))
    async with archiving(store, spec, settings, tmp_path) as passes:
        await archive_all(passes)
    return tmp_path


async def test_an_archive_with_every_event_once_is_proven(archive: Path, store: EventStore) -> None:
    verdict = await verdict_on(archive, store)
    assert verdict.is_proven
    assert (verdict.total("stored"), verdict.total("archived")) == (60, 60)
    assert len(verdict.hours) == 6


async def test_the_figures_are_those_of_the_manifests(archive: Path, store: EventStore) -> None:
    reached = await up_to_date_at(LeaseStore(store, follower=FOLLOWER))
    assert reached is not None
    status = status_of(DirectoryReading(archive), up_to_date_at=reached)
    assert (status.rows, status.files, status.refused) == (60, len(files_of(archive)), 0)
    assert status.bytes == sum(file.stat().st_size for file in files_of(archive))


async def test_what_is_stored_since_is_unproven_and_not_missing(archive: Path, store: EventStore) -> None:
    await create_all(store, events(60, 3))
    verdict = await verdict_on(archive, store)
    assert not verdict.is_wrong
    assert not verdict.is_proven
    assert verdict.total("waiting") == 3


async def test_a_changed_or_lost_file_is_found(archive: Path, store: EventStore) -> None:
    changed, lost, *_ = files_of(archive)
    changed.write_bytes(changed.read_bytes()[:-1] + b"x")
    lost.unlink()
    verdict = await verdict_on(archive, store)
    assert verdict.is_wrong
    assert verdict.broken == [str(path.relative_to(archive)) for path in (changed, lost)]


async def test_a_file_that_no_manifest_names_is_found(archive: Path, store: EventStore) -> None:
    original = files_of(archive)[0]
    copy = original.with_name("copy.parquet")
    shutil.copy(original, copy)
    verdict = await verdict_on(archive, store)
    assert verdict.is_wrong
    assert verdict.unknown == [str(copy.relative_to(archive))]


async def test_what_was_deleted_from_the_store_before_its_time_is_told(archive: Path, store: EventStore) -> None:
    container = store.database.get_container_client(store.names.events)
    await container.delete_item("e0", "t0:2024-01")
    verdict = await verdict_on(archive, store)
    assert not verdict.is_wrong
    assert not verdict.is_proven
    assert verdict.total("surplus") == 1


async def test_an_event_that_was_passed_over_is_missing(
    archive: Path, store: EventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    await create_all(store, events(60, 2))
    # As if the follower had noted that it has had them: no test can wait for the clocks' difference.
    monkeypatch.setattr(verification, "CLOCKS_DIFFER", timedelta(minutes=-1))
    verdict = await verdict_on(archive, store)
    assert verdict.is_wrong
    assert verdict.total("missing") == 2
