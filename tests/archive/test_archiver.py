"""Every stored event is in the archive once, whatever happens to the process that writes it."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from tests.archive.archiving import archive_all, archiving, events, files_of, ids_of, rows_of
from tests.servers.cosmos import cosmos_server
from tests.store.creating import create_all

from cloudscale.archive.location import FOLLOWER
from cloudscale.archive.manifest import read_batches
from cloudscale.archive.parquet import digest_of, write_files
from cloudscale.archive.spool import ArchiveUnavailableError, Spool
from cloudscale.settings import Settings
from cloudscale.store.events import EventStore
from cloudscale.store.feed_range import FeedRange
from cloudscale.store.leases import LeaseStore

if TYPE_CHECKING:
    from pathlib import Path

    from cloudscale.pipeline import Store

ZERO = timedelta(0)


def numbered(count: int) -> list[str]:
    return [f"e{number}" for number in range(count)]


async def test_each_event_is_a_row_in_the_folder_of_its_tenant_and_hour(
    store: EventStore, spec: Store, settings: Settings, tmp_path: Path
) -> None:
    await create_all(store, events(0, 60))
    async with archiving(store, spec, settings, tmp_path / "a") as passes:
        await archive_all(passes)
    rows = rows_of(tmp_path / "a")
    assert sorted(row["eventId"] for row in rows) == sorted(numbered(60))
    row = next(row for row in rows if row["eventId"] == "e7")
    assert row["amount"] == 1.75
    assert row["receivedAt"] == datetime(2026, 11, 29, 1, 30, 0, 7, tzinfo=UTC)
    assert json.loads(row["rest"])["properties"] == {"quantity": 7}
    folders = {str(file.parent.relative_to(tmp_path / "a")) for file in files_of(tmp_path / "a")}
    assert folders == {f"tenant=t{t}/year=2026/month=11/day=29/hour=0{h}" for t in range(3) for h in range(2)}


async def test_the_manifest_says_of_each_file_what_is_in_it(
    store: EventStore, spec: Store, settings: Settings, tmp_path: Path
) -> None:
    await create_all(store, events(0, 60))
    async with archiving(store, spec, settings, tmp_path) as passes:
        await archive_all(passes)
    described = [file for batch in read_batches(tmp_path) for file in batch.files]
    assert sorted(file.path for file in described) == [str(file.relative_to(tmp_path)) for file in files_of(tmp_path)]
    assert sum(file.rows for file in described) == 60
    for file in described:
        path = tmp_path / file.path
        assert (file.bytes, file.sha256) == (path.stat().st_size, digest_of(path))
        assert file.first_received_at <= file.last_received_at
        assert file.first_received_at.startswith(file.hour.replace("T", " "))


async def test_events_wait_for_the_interval_or_for_a_large_file(
    store: EventStore, spec: Store, settings: Settings, tmp_path: Path
) -> None:
    await create_all(store, events(0, 60))
    async with archiving(store, spec, settings, tmp_path / "waiting") as passes:
        await passes.run_pass()
        assert not files_of(tmp_path / "waiting")
        assert {lease.checked_at for lease in await LeaseStore(store, follower=FOLLOWER).all()} == {None}
    async with archiving(store, spec, settings, tmp_path / "waiting", interval=ZERO) as passes:
        await passes.run_pass()
    assert ids_of(tmp_path / "waiting") == numbered(60)
    await create_all(store, events(60, 60))
    async with archiving(store, spec, settings, tmp_path / "waiting", largest_bytes=1) as passes:
        await passes.run_pass()
    assert ids_of(tmp_path / "waiting") == numbered(120)


async def test_what_is_read_again_is_not_archived_again(
    store: EventStore, spec: Store, settings: Settings, tmp_path: Path
) -> None:
    leases = LeaseStore(store, follower=FOLLOWER)
    await create_all(store, events(0, 60))
    async with archiving(store, spec, settings, tmp_path) as passes:
        await archive_all(passes)
    for lease in await leases.all():
        await leases.remove(lease)
    await create_all(store, events(60, 30))
    async with archiving(store, spec, settings, tmp_path) as passes:
        await archive_all(passes)
    assert ids_of(tmp_path) == numbered(90)


async def test_documents_that_are_no_events_are_put_aside_with_the_reason_and_hold_up_nobody(
    store: EventStore, spec: Store, settings: Settings, tmp_path: Path
) -> None:
    strange = events(1000, 1)[0]
    del strange["receivedAt"]
    await create_all(store, [*events(0, 10), strange, *events(10, 10)])
    async with archiving(store, spec, settings, tmp_path) as passes:
        await archive_all(passes)
    assert ids_of(tmp_path) == numbered(20)
    (refused,) = [batch.refused for batch in read_batches(tmp_path) if batch.refused is not None]
    (line,) = (tmp_path / refused.path).read_text().splitlines()
    assert json.loads(line)["document"]["id"] == "e1000"
    assert "receivedAt" in json.loads(line)["reason"]
    assert refused.documents == 1


def test_what_cannot_be_written_as_json_is_put_aside(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool", container="c", of=FeedRange("", "FF"), after=-1)
    half: dict[str, Any] = events(1, 1)[0] | {"note": "half a \ud83d character"}
    spool.add([{**event, "_lsn": 5} for event in (*events(0, 1), half, *events(2, 1))])
    assert (spool.rows, spool.refused, spool.last) == (2, 1, 5)
    assert json.loads(spool.refused_path.read_text())["document"]["note"] == half["note"]


def test_a_row_that_the_writer_refuses_is_put_aside_and_the_others_are_written(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool", container="c", of=FeedRange("", "FF"), after=-1)
    spool.add([event | {"_lsn": 1} for event in events(0, 20)])
    lines = spool.rows_path.read_text().splitlines()
    lines[7] = lines[7].replace('"schemaVersion":null', '"schemaVersion":1099511627776')
    spool.rows_path.write_text("\n".join([*lines, ""]))
    (tmp_path / "files").mkdir()
    written = write_files(spool, tmp_path / "files", name="n")
    assert sum(file.rows for file in written) == 19
    assert "e7" not in ids_of(tmp_path / "files")
    assert spool.refused == 1
    assert json.loads(spool.refused_path.read_text())["document"]["id"] == "e7"


async def test_a_container_that_was_made_anew_is_archived_beside_the_old_one(
    store: EventStore, spec: Store, settings: Settings, tmp_path: Path
) -> None:
    await create_all(store, events(0, 30))
    async with archiving(store, spec, settings, tmp_path) as passes:
        await archive_all(passes)
    await store.database.delete_container(store.names.events)
    await store.ensure()
    await create_all(store, events(30, 30))
    async with archiving(store, spec, settings, tmp_path) as passes:
        await archive_all(passes)
    assert ids_of(tmp_path) == numbered(60)


async def test_a_disk_that_takes_nothing_costs_no_event(
    store: EventStore, spec: Store, settings: Settings, tmp_path: Path
) -> None:
    await create_all(store, events(0, 30))
    async with archiving(store, spec, settings, tmp_path) as passes:
        (tmp_path / "_manifest").write_text("in the way")
        with pytest.raises(ArchiveUnavailableError, match="make room"):
            await passes.run_pass(at_once=True)
        (tmp_path / "_manifest").unlink()
        await archive_all(passes)
    assert ids_of(tmp_path) == numbered(30)


@pytest.mark.parametrize(("before", "after"), [(1, 4), (4, 1), (3, 2)])
async def test_ranges_that_are_split_or_merged_lose_and_double_nothing(
    spec: Store, tmp_path: Path, before: int, after: int
) -> None:
    archive = tmp_path / "archive"
    with cosmos_server(tmp_path / "cosmos", partition_ranges=before) as server:
        settings = Settings(pipeline_file="", redis_url="", cosmos_connection_string=server.connection_string)
        async with EventStore(spec, settings) as store:
            await store.ensure(followers=True)
            await create_all(store, events(0, 100))
            async with archiving(store, spec, settings, archive) as passes:
                await archive_all(passes)
                await create_all(store, events(100, 50))
                # Some are taken and in no file when the ranges change.
                await passes.run_pass()
        server.stop()
        server.arguments = ("--partition-ranges", str(after), "--fsync", "interval")
        server.start()
        async with EventStore(spec, settings) as store:
            await create_all(store, events(150, 50))
            async with archiving(store, spec, settings, archive, largest_bytes=1) as passes:
                await archive_all(passes)
                await create_all(store, events(200, 50))
                await archive_all(passes)
    assert Counter(ids_of(archive)) == Counter(numbered(250))
