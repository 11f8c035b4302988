"""An archive in Blob storage has each event once, whatever was begun before, and one process writes to it."""

from __future__ import annotations

import hashlib
import uuid
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import msgspec
import pytest
from tests.archive.archiving import LONG, PIPELINE, archive_all, events, ids_of, rows_of
from tests.store.creating import create_all

from cloudscale.archive import verification
from cloudscale.archive.archiver import Archiver
from cloudscale.archive.blobs import BlobArchive
from cloudscale.archive.container import BLOCK_BYTES, open_container
from cloudscale.archive.downloads import Downloads
from cloudscale.archive.location import FOLLOWER
from cloudscale.archive.manifest import Batch
from cloudscale.archive.query import ask
from cloudscale.archive.reading import bring_all, open_reading
from cloudscale.archive.spool import ArchiveUnavailableError, Spool
from cloudscale.archive.status import status_of
from cloudscale.archive.writer_lease import ArchiveTakenError
from cloudscale.errors import ConfigurationError, CredentialError
from cloudscale.pipeline import EventPipeline, load
from cloudscale.store.feed import EventFeed
from cloudscale.store.feed_range import FeedRange
from cloudscale.store.leases import LeaseStore
from cloudscale.store.passes import Passes
from cloudscale.store.ranges import OwnedRanges

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from azure.storage.blob.aio import ContainerClient
    from tests.servers.azurite import AzuriteServer

    from cloudscale.pipeline import Store
    from cloudscale.pipeline.archive import Archive
    from cloudscale.settings import Settings
    from cloudscale.store.events import EventStore


@pytest.fixture
def resource() -> EventPipeline:
    """A pipeline with a container of its own."""
    blob = {"connectionSecretRef": {"name": "blob", "key": "connectionString"}}
    return load(
        {
            "apiVersion": "cloudscale.io/v1alpha1",
            "kind": "EventPipeline",
            "metadata": {"name": "shop"},
            "spec": {"archive": {"blob": blob, "container": f"c{uuid.uuid4().hex}"}},
        }
    )


@pytest.fixture
def archive(resource: EventPipeline) -> Archive:
    assert resource.spec.archive is not None
    return resource.spec.archive


@pytest.fixture(name="settings")
def settings_with_blobs(settings: Settings, azurite: AzuriteServer) -> Settings:
    return msgspec.structs.replace(settings, archive_connection_string=azurite.connection_string)


@pytest.fixture
async def container(archive: Archive, settings: Settings) -> AsyncIterator[ContainerClient]:
    async with open_container(archive, settings) as opened:
        yield opened


@asynccontextmanager
async def archiving(
    store: EventStore, spec: Store, settings: Settings, container: ContainerClient, scratch: Path
) -> AsyncIterator[Passes]:
    async with (
        BlobArchive(container, scratch, pipeline=PIPELINE, holder="one") as blobs,
        EventFeed(spec, settings) as feed,
    ):
        ranges = OwnedRanges(feed, LeaseStore(store, follower=FOLLOWER), owner=FOLLOWER)
        yield Passes(feed, ranges, Archiver(blobs, interval=LONG))


async def names_in(container: ContainerClient) -> set[str]:
    return {name async for name in container.list_blob_names()}


def batch_of(files: Path, *, after: int = -1, content: bytes = b"a file") -> Batch:
    """A batch of one file, which is below ``files``."""
    refused = {
        "path": "_refused/c-r.ndjson",
        "documents": 1,
        "bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
    }
    given = {"container": "c", "rangeId": "0-1", "after": after, "last": after + 1, "writtenAt": "", "files": []}
    (files / "_refused").mkdir(parents=True, exist_ok=True)
    (files / "_refused" / "c-r.ndjson").write_bytes(content)
    return msgspec.convert({**given, "refused": refused}, Batch)


async def test_what_is_archived_is_proven_counted_and_asked_in_sql(
    store: EventStore,
    spec: Store,
    settings: Settings,
    container: ContainerClient,
    resource: EventPipeline,
    tmp_path: Path,
) -> None:
    await create_all(store, events(0, 60))
    for _ in range(2):
        async with archiving(store, spec, settings, container, tmp_path / "scratch") as passes:
            await archive_all(passes)
        # What a second process reads of what the first has archived is nothing new.
        await create_all(store, events(60, 10))
    async with archiving(store, spec, settings, container, tmp_path / "scratch") as passes:
        await archive_all(passes)
    assert not (tmp_path / "scratch").exists()
    async with open_reading(resource, settings) as reading:
        verdict = await verification.verify(resource, reading, store=store, leases=LeaseStore(store, follower=FOLLOWER))
        assert verdict.is_proven
        assert verdict.total("archived") == 70
        assert not list(reading.folder.glob("tenant=*/**/*.parquet"))
        assert status_of(reading, up_to_date_at=None).rows == 70
        await bring_all(reading, largest_bytes=10_000_000)
        with ask(reading.folder, "SELECT count(*), sum(amount) FROM events", within=LONG) as answer:
            assert list(answer.rows()) == [(70, sum(number / 4 for number in range(70)))]
        assert ids_of(reading.folder) == [f"e{number}" for number in range(70)]
    assert not reading.folder.exists()


async def test_a_file_that_is_gone_or_another_or_in_no_manifest_is_found(
    store: EventStore,
    spec: Store,
    settings: Settings,
    container: ContainerClient,
    resource: EventPipeline,
    tmp_path: Path,
) -> None:
    await create_all(store, events(0, 60))
    async with archiving(store, spec, settings, container, tmp_path / "scratch") as passes:
        await archive_all(passes)
    files = sorted(name for name in await names_in(container) if name.endswith(".parquet"))
    await container.delete_blob(files[0])
    await container.upload_blob(files[1], b"PAR1", overwrite=True)
    await container.upload_blob("tenant=t0/year=2026/strange.parquet", b"PAR1")
    async with open_reading(resource, settings) as reading:
        verdict = await verification.verify(resource, reading, store=store, leases=LeaseStore(store, follower=FOLLOWER))
    assert verdict.broken == files[:2]
    assert verdict.unknown == ["tenant=t0/year=2026/strange.parquet"]
    assert verdict.is_wrong


async def test_what_a_batch_without_a_manifest_has_left_goes_when_the_archive_is_opened(
    container: ContainerClient, tmp_path: Path
) -> None:
    batch = batch_of(tmp_path / "files")
    async with BlobArchive(container, tmp_path / "a", pipeline=PIPELINE, holder="one"):
        # As one that was killed after it had put the file.
        await container.upload_blob("_manifest/c/0-1/000000000000000.pending", msgspec.json.encode(batch))
        await container.upload_blob("_refused/c-r.ndjson", b"a file")
    async with BlobArchive(container, tmp_path / "b", pipeline=PIPELINE, holder="one"):
        assert await names_in(container) == {"archive.json"}


async def test_a_batch_whose_manifest_is_there_stays(container: ContainerClient, tmp_path: Path) -> None:
    batch = batch_of(tmp_path / "files")
    async with BlobArchive(container, tmp_path / "a", pipeline=PIPELINE, holder="one") as blobs:
        await blobs.put(batch, tmp_path / "files")
        # As one that was killed before it had deleted this.
        await container.upload_blob("_manifest/c/0-1/000000000000000.pending", msgspec.json.encode(batch))
    async with BlobArchive(container, tmp_path / "b", pipeline=PIPELINE, holder="one"):
        there = await names_in(container)
    assert there == {"archive.json", "_refused/c-r.ndjson", "_manifest/c/0-1/000000000000000.json"}


async def test_the_same_batch_can_be_put_again_and_another_in_its_place_cannot(
    container: ContainerClient, tmp_path: Path
) -> None:
    async with BlobArchive(container, tmp_path / "a", pipeline=PIPELINE, holder="one") as blobs:
        await blobs.put(batch_of(tmp_path / "files"), tmp_path / "files")
        await blobs.put(batch_of(tmp_path / "files"), tmp_path / "files")
        other = msgspec.structs.replace(batch_of(tmp_path / "files"), last=7)
        with pytest.raises(ArchiveTakenError, match="another one archives"):
            await blobs.put(other, tmp_path / "files")


async def test_a_file_of_an_attempt_that_failed_is_replaced(container: ContainerClient, tmp_path: Path) -> None:
    async with BlobArchive(container, tmp_path / "a", pipeline=PIPELINE, holder="one") as blobs:
        await container.upload_blob("_refused/c-r.ndjson", b"half", metadata={"sha256": "other"})
        await blobs.put(batch_of(tmp_path / "files"), tmp_path / "files")
    stream = await container.download_blob("_refused/c-r.ndjson")
    assert await stream.readall() == b"a file"


async def test_a_file_of_several_blocks_arrives_as_it_is(container: ContainerClient, tmp_path: Path) -> None:
    content = bytes(range(256)) * (2 * BLOCK_BYTES // 256) + b"the rest"
    async with BlobArchive(container, tmp_path / "a", pipeline=PIPELINE, holder="one") as blobs:
        await blobs.put(batch_of(tmp_path / "files", content=content), tmp_path / "files")
    copies = Downloads(container, tmp_path / "copies")
    await copies.bring(["_refused/c-r.ndjson"])
    assert (tmp_path / "copies" / "_refused" / "c-r.ndjson").read_bytes() == content


async def test_the_files_beside_a_batch_are_those_of_its_hours(
    store: EventStore, spec: Store, settings: Settings, container: ContainerClient, tmp_path: Path
) -> None:
    await create_all(store, events(0, 60))
    async with archiving(store, spec, settings, container, tmp_path / "scratch") as passes:
        await archive_all(passes)
    async with BlobArchive(container, tmp_path / "scratch", pipeline=PIPELINE, holder="one") as blobs:
        spool = Spool(tmp_path / "spool", container="c", of=FeedRange.of("0-FF"), after=-1, merged=True)
        spool.add([event | {"_lsn": 1} for event in events(60, 1)])
        folder = await blobs.files_beside(spool)
        assert {row["tenantId"] for row in rows_of(folder)} == {"t0"}
        assert {row["receivedAt"].hour for row in rows_of(folder)} == {0}


async def test_one_process_writes_and_the_one_after_it_need_not_wait(
    container: ContainerClient, tmp_path: Path
) -> None:
    async with BlobArchive(container, tmp_path / "a", pipeline=PIPELINE, holder="one"):
        with pytest.raises(ArchiveUnavailableError, match="another process archives to container"):
            await BlobArchive(container, tmp_path / "b", pipeline=PIPELINE, holder="two").__aenter__()
        async with BlobArchive(container, tmp_path / "c", pipeline=PIPELINE, holder="one"):
            pass


async def test_who_has_lost_the_lease_writes_nothing(container: ContainerClient, tmp_path: Path) -> None:
    batch = batch_of(tmp_path / "files")
    async with BlobArchive(container, tmp_path / "a", pipeline=PIPELINE, holder="one") as first:
        from azure.storage.blob.aio import BlobLeaseClient  # noqa: PLC0415 - as the code does

        await BlobLeaseClient(container.get_blob_client("archive.json")).break_lease(lease_break_period=0)
        async with BlobArchive(container, tmp_path / "b", pipeline=PIPELINE, holder="two"):
            with pytest.raises(ArchiveTakenError, match="is another process's since"):
                await first.put(batch, tmp_path / "files")
            assert await names_in(container) == {"archive.json"}


async def test_an_archive_of_another_pipeline_is_refused(
    container: ContainerClient, settings: Settings, resource: EventPipeline, tmp_path: Path
) -> None:
    with pytest.raises(ConfigurationError, match="nothing was archived there yet"):
        async with open_reading(resource, settings):
            pass
    async with BlobArchive(container, tmp_path / "a", pipeline="default/other", holder="one"):
        pass
    with pytest.raises(ConfigurationError, match=r"is the archive of default/other, not of default/shop"):
        await BlobArchive(container, tmp_path / "b", pipeline=PIPELINE, holder="one").__aenter__()
    with pytest.raises(ConfigurationError, match=r"is the archive of default/other, not of default/shop"):
        async with open_reading(resource, settings):
            pass


async def test_a_query_brings_no_more_than_it_may(
    store: EventStore,
    spec: Store,
    settings: Settings,
    container: ContainerClient,
    resource: EventPipeline,
    tmp_path: Path,
) -> None:
    await create_all(store, events(0, 6))
    async with archiving(store, spec, settings, container, tmp_path / "scratch") as passes:
        await archive_all(passes)
    async with open_reading(resource, settings) as reading:
        with pytest.raises(ConfigurationError, match=r"--disk allows 100 to be brought here"):
            await bring_all(reading, largest_bytes=100)


async def test_a_manifest_does_not_lead_out_of_the_folder(
    container: ContainerClient, settings: Settings, resource: EventPipeline, tmp_path: Path
) -> None:
    async with BlobArchive(container, tmp_path / "a", pipeline=PIPELINE, holder="one"):
        pass
    async with open_reading(resource, settings) as reading:
        for name in ("../outside", "/outside", "tenant=a/../../outside"):
            with pytest.raises(Exception, match="which is no file of an archive"):
                await reading.bring([name])


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", "set CLOUDSCALE_ARCHIVE_CONNECTION_STRING"),
        ("nonsense", "cannot be used"),
        ("AccountName=a;AccountKey=a2V5;BlobEndpoint=http://[::", "is no URL"),
    ],
)
async def test_a_connection_string_that_is_none_is_refused(
    archive: Archive, settings: Settings, text: str, error: str
) -> None:
    with pytest.raises(ConfigurationError, match=error):
        async with open_container(archive, msgspec.structs.replace(settings, archive_connection_string=text)):
            pass


async def test_a_wrong_key_and_a_storage_that_is_away_are_told_apart(
    archive: Archive, settings: Settings, azurite: AzuriteServer, tmp_path: Path
) -> None:
    wrong = azurite.connection_string.replace("AccountKey=", "AccountKey=YQ==")
    away = azurite.connection_string.replace(f":{azurite.port}/", ":1/")
    for text, error in ((wrong, CredentialError), (away, ArchiveUnavailableError)):
        told = msgspec.structs.replace(settings, archive_connection_string=text)
        with pytest.raises(error, match="cannot open the archive"):
            async with open_container(archive, told) as container:
                await BlobArchive(container, tmp_path / "a", pipeline=PIPELINE, holder="one").__aenter__()
