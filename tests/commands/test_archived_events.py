"""Events leave the archive by the command line, and come to a pipeline again."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
import typer
from tests.archive.archiving import PIPELINE, events
from tests.replay.api import Answer, results, serving

from cloudscale.archive.archiver import Archiver
from cloudscale.archive.directory import ArchiveDirectory
from cloudscale.commands.archived_events import export, replay
from cloudscale.errors import ConfigurationError
from cloudscale.pipeline import as_document, load
from cloudscale.replay.source import Line, prepare
from cloudscale.store.feed_range import FeedRange

if TYPE_CHECKING:
    from pathlib import Path

RESOURCE = {
    "apiVersion": "cloudscale.io/v1alpha1",
    "kind": "EventPipeline",
    "metadata": {"name": "shop"},
    "spec": {"archive": {}},
}


@pytest.fixture(scope="module")
def data_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data directory of a run that has ended, with six archived events of three tenants."""
    directory = tmp_path_factory.mktemp("data")
    (directory / "pipeline.json").write_bytes(msgspec.json.encode(as_document(load(RESOURCE))))
    with ArchiveDirectory(directory / "archive", pipeline=PIPELINE) as archive:
        archiver, whole = Archiver(archive, interval=timedelta(minutes=1)), FeedRange("", "FF")
        archiver.take(whole, [event | {"_lsn": 1, "_self": "dbs/a/colls/b/docs/c/"} for event in events(0, 6)])
        asyncio.run(archiver.keep(whole, at_once=True, is_at_end=True))
    return directory


@pytest.fixture(autouse=True)
def _no_other_pipeline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CLOUDSCALE_PIPELINE_FILE", raising=False)


def accept(_: int, sent: list[dict[str, Any]]) -> Answer:
    return 202, {}, results(*[202] * len(sent))


def test_what_is_exported_can_be_replayed(data_directory: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    export(data_dir=data_directory, tenant="t1", since="2024-05-01", until="2024-05-01T10:00:00.000001Z")

    printed = capfdbinary.readouterr()
    lines = printed.out.splitlines()
    assert [msgspec.json.decode(line)["eventId"] for line in lines] == ["e1", "e4"]
    assert all(prepare(Line(1, line, 0), origin="") == line for line in lines)
    assert b"2 events are not as they were sent" in printed.err


@pytest.mark.parametrize("text", ["yesterday", "2024-13-01", "2024-05-01T10:00:00", "2024"])
def test_a_time_that_is_none_is_refused(data_directory: Path, text: str) -> None:
    with pytest.raises(ConfigurationError, match=r"--since '.*' is no time: give 2026-11-01 or"):
        export(data_dir=data_directory, since=text)


async def test_the_selected_events_are_sent(data_directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async with serving(accept) as api:
        await asyncio.to_thread(replay, data_dir=data_directory, tenant="t2", url=api.url, key="cs_a_b")

    assert [[event["eventId"] for event in request] for request in api.requests] == [["e2", "e5"]]
    assert api.authorizations == ["Bearer cs_a_b"]
    assert capsys.readouterr().out.startswith("2 accepted, 0 duplicates, 0 rejected")
    assert not list((data_directory / "replays").glob("archive-*"))


async def test_rejected_events_are_kept_and_make_the_exit_code(data_directory: Path) -> None:
    def refuse(_: int, sent: list[dict[str, Any]]) -> Answer:
        return 207, {}, results(202, *[422] * (len(sent) - 1))

    async with serving(refuse) as api:
        with pytest.raises(typer.Exit) as ended:
            await asyncio.to_thread(replay, data_dir=data_directory, tenant="t0", url=api.url)

    assert ended.value.exit_code == 1
    (kept,) = (data_directory / "replays").glob("archive-*.rejected.jsonl")
    (line,) = kept.read_bytes().splitlines()
    assert msgspec.json.decode(msgspec.json.decode(line)["event"])["eventId"] == "e3"


async def test_a_replay_of_nothing_sends_nothing(data_directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async with serving(accept) as api:
        await asyncio.to_thread(replay, data_dir=data_directory, tenant="nobody", url=api.url)

    assert api.requests == []
    assert capsys.readouterr().out.startswith("0 accepted")
