"""What the commands about the archive print, and their exit codes."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import TYPE_CHECKING

import msgspec
import pytest
import typer
from tests.archive.archiving import PIPELINE, archive_all, archiving, events, files_of
from tests.store.creating import create_all

from cloudscale.archive.directory import ArchiveDirectory
from cloudscale.archive.verification import ArchivedHour, Verdict
from cloudscale.commands import archive
from cloudscale.commands.query import query
from cloudscale.errors import ConfigurationError
from cloudscale.local import instance
from cloudscale.pipeline import Store, as_document, load
from cloudscale.settings import Settings
from cloudscale.store.events import EventStore

if TYPE_CHECKING:
    from pathlib import Path

    from cloudscale.pipeline import EventPipeline


def resource(**spec: object) -> EventPipeline:
    return load(
        {
            "apiVersion": "cloudscale.io/v1alpha1",
            "kind": "EventPipeline",
            "metadata": {"name": "shop"},
            "spec": {"archive": {}, **spec},
        }
    )


@pytest.fixture
def data_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The data directory of a run that has ended, with an archive without events."""
    monkeypatch.delenv("CLOUDSCALE_PIPELINE_FILE", raising=False)
    (tmp_path / "pipeline.json").write_bytes(msgspec.json.encode(as_document(resource())))
    with ArchiveDirectory(tmp_path / "archive", pipeline=PIPELINE):
        return tmp_path


@pytest.fixture
def spec() -> Store:
    """A database of the test's own."""
    return Store(database=f"d{uuid.uuid4().hex[:12]}")


def of_hour(**numbers: int) -> Verdict:
    counts = {"stored": 5, "archived": 5, "missing": 0, "doubled": 0} | numbers
    hour = ArchivedHour(tenant_id="acme", hour="2026-11-29T03", expired=False, **counts)
    return Verdict(at=datetime.now(UTC).isoformat(), hours=[hour], refused=0, broken=[], unknown=[])


def test_a_query_needs_no_running_pipeline(data_directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    query("SELECT count(*) AS events FROM events", data_dir=data_directory, timeout="1m", memory="200MB", as_json=True)
    assert msgspec.json.decode(capsys.readouterr().out) == [{"events": 0}]
    query("SELECT 'a', 2, NULL", data_dir=data_directory, timeout="1m", memory="200MB")
    assert "a" in capsys.readouterr().out
    query("SELECT 1 WHERE false", data_dir=data_directory, timeout="1m", memory="200MB", as_json=True)
    assert msgspec.json.decode(capsys.readouterr().out) == []


def test_where_nothing_ran_there_is_no_archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CLOUDSCALE_PIPELINE_FILE", raising=False)
    with pytest.raises(ConfigurationError, match="no pipeline has run in"):
        query("SELECT 1", data_dir=tmp_path)


def test_a_pipeline_without_an_archive_says_how_to_have_one(data_directory: Path) -> None:
    without = as_document(resource())
    del without["spec"]["archive"]
    (data_directory / "pipeline.json").write_bytes(msgspec.json.encode(without))
    with pytest.raises(ConfigurationError, match=r"add `archive: \{\}` to its spec"):
        query("SELECT 1", data_dir=data_directory)


@pytest.mark.parametrize(
    ("numbers", "words"),
    [
        ({}, "archived = stored"),
        ({"stored": 9}, "4 events are not archived yet"),
        ({"archived": 3, "missing": 2}, "2 events are stored and not archived"),
        ({"archived": 6, "doubled": 1}, "1 events are archived more than once"),
        ({"stored": 1}, "4 events are archived and not stored any more"),
    ],
)
def test_a_verdict_is_said_in_words(numbers: dict[str, int], words: str) -> None:
    assert archive.render(of_hour(**numbers)).splitlines()[-1].startswith(words)


async def test_the_proof_and_the_figures_of_a_running_pipeline(settings: Settings, spec: Store, tmp_path: Path) -> None:
    async with EventStore(spec, settings) as store:
        await store.ensure(followers=True)
        await create_all(store, events(0, 20))
        async with archiving(store, spec, settings, tmp_path / "archive") as passes:
            await archive_all(passes)
    given = msgspec.structs.replace(settings, pipeline_file=str(tmp_path / "pipeline.json"))
    running = instance.Instance(pipeline=resource(store={"database": spec.database}), settings=given)
    verdict = await archive._verify(running, 0)
    assert verdict.is_proven
    assert msgspec.json.decode(archive._as_json(verdict))["totals"]["archived"] == 20
    described = archive._described(await archive._status(running))
    assert "rows 20" in described
    assert "s behind at the most" in described
    files_of(tmp_path / "archive")[0].unlink()
    assert (await archive._verify(running, 0)).is_wrong


@pytest.mark.parametrize(("lost", "code"), [(True, archive.EXIT_WRONG), (False, archive.EXIT_UNPROVEN)])
def test_what_is_wrong_and_what_is_unproven_have_exit_codes_of_their_own(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *, lost: bool, code: int
) -> None:
    async def verdict(*_: object) -> Verdict:
        return of_hour(archived=3, missing=2 if lost else 0)

    monkeypatch.setattr(instance, "find_instance", lambda _: SimpleNamespace())
    monkeypatch.setattr(archive, "_verify", verdict)
    with pytest.raises(typer.Exit) as ended:
        archive.verify(data_dir=tmp_path)
    assert ended.value.exit_code == code


def test_a_store_that_is_away_proves_nothing(
    data_directory: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    nowhere = Settings(
        pipeline_file=str(data_directory / "pipeline.json"),
        redis_url="",
        cosmos_connection_string="AccountEndpoint=http://127.0.0.1:1/;AccountKey=a2V5",
    )
    found = instance.Instance(pipeline=resource(), settings=nowhere)
    monkeypatch.setattr(instance, "find_instance", lambda _: found)
    with pytest.raises(typer.Exit) as ended:
        archive.verify(data_dir=data_directory)
    assert ended.value.exit_code == archive.EXIT_UNKNOWN
    assert "nothing is proven, and nothing is known to be missing" in capsys.readouterr().err
