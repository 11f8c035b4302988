"""A question to the archive reads the archive, and nothing else is read, written, fetched or changed."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from tests.archive.archiving import PIPELINE, events

from cloudscale.archive.archiver import Archiver
from cloudscale.archive.directory import ArchiveDirectory
from cloudscale.archive.engine import open_engine
from cloudscale.archive.query import QueryError, ask, open_events
from cloudscale.errors import ConfigurationError
from cloudscale.store.feed_range import FeedRange

if TYPE_CHECKING:
    from pathlib import Path

MINUTE = timedelta(minutes=1)


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("archive")
    with ArchiveDirectory(path, pipeline=PIPELINE) as directory:
        archiver, whole = Archiver(directory, interval=MINUTE), FeedRange("", "FF")
        archiver.take(whole, [event | {"_lsn": 1, "_self": "dbs/a/colls/b/docs/c/"} for event in events(0, 30)])
        asyncio.run(archiver.keep(whole, at_once=True, is_at_end=True))
    return path


def answer(path: Path, statement: str) -> list[tuple[Any, ...]]:
    with ask(path, statement, within=MINUTE) as found:
        return list(found.rows())


def test_a_question_is_answered(archive: Path) -> None:
    found = answer(archive, "SELECT tenantId, count(*), sum(amount) FROM events GROUP BY 1 ORDER BY 1")
    assert found == [("t0", 10, 33.75), ("t1", 10, 36.25), ("t2", 10, 38.75)]


def test_the_rest_is_asked_as_json(archive: Path) -> None:
    assert answer(archive, "SELECT sum((rest->>'$.properties.quantity')::INT) FROM events") == [(435,)]


def test_an_archive_without_events_has_the_table(tmp_path: Path) -> None:
    assert answer(tmp_path, "SELECT count(*), max(createdAt) FROM events") == [(0, None)]


@pytest.mark.parametrize(
    "statement",
    [
        "COPY events TO '{elsewhere}/stolen.csv'",
        "COPY (SELECT 1) TO '{archive}/more.parquet'",
        "ATTACH '{elsewhere}/other.db'",
        "INSTALL httpfs",
        "LOAD httpfs",
        "SET enable_external_access = true",
        "SET memory_limit = '100GB'",
        "PRAGMA disable_verification",
        "CREATE TABLE mine AS SELECT 1",
        "DROP VIEW events",
        "EXPORT DATABASE '{elsewhere}'",
        "SELECT 1; COPY events TO '{elsewhere}/stolen.csv'",
        "PREPARE it AS SELECT 1",
        "",
    ],
)
def test_what_is_no_single_select_is_refused(archive: Path, tmp_path: Path, statement: str) -> None:
    with pytest.raises(ConfigurationError, match="only one SELECT"):
        answer(archive, statement.format(archive=archive, elsewhere=tmp_path))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "source",
    [
        "read_csv('/etc/passwd')",
        "read_text('/etc/passwd')",
        "'/etc/passwd'",
        "read_json('{elsewhere}/secret.json')",
        "read_parquet('{archive}/../*/*.parquet')",
        "read_text('{archive}/../*/secret.json')",
        "glob('/etc/*')",
        "read_csv('https://127.0.0.1:1/x.csv')",
        "sniff_csv('/etc/passwd')",
    ],
)
def test_no_other_file_is_read(archive: Path, tmp_path: Path, source: str) -> None:
    (tmp_path / "secret.json").write_text('{"secret": 1}')
    with pytest.raises(QueryError):
        answer(archive, f"SELECT * FROM {source}".format(archive=archive, elsewhere=tmp_path))  # noqa: S608 - that is it


@pytest.mark.parametrize(
    "setting", ["enable_external_access = true", "allowed_directories = ['/']", "memory_limit = '9GB'"]
)
def test_the_engine_itself_is_locked_too(archive: Path, setting: str) -> None:
    import duckdb  # noqa: PLC0415

    with open_engine(memory="100MB", temporary=None) as engine:
        open_events(engine, archive)
        with pytest.raises(duckdb.Error):
            engine.execute(f"SET {setting}")
        with pytest.raises(duckdb.PermissionException):
            engine.execute("COPY (SELECT 1) TO '/tmp/cloudscale-stolen.csv'")


def test_a_question_that_takes_too_long_ends(archive: Path) -> None:
    statement = "SELECT count(*) FROM range(1000000000) a, range(1000000) b WHERE a.range % 7 = b.range % 5"
    with (
        pytest.raises(QueryError, match="took longer than"),
        ask(archive, statement, within=timedelta(seconds=0.2)) as found,
    ):
        list(found.rows())


def test_a_question_that_needs_too_much_memory_ends(archive: Path) -> None:
    statement = "SELECT list(range) FROM range(100000000)"
    with pytest.raises(QueryError, match="memory"), ask(archive, statement, within=MINUTE, memory="50MB") as found:
        list(found.rows())


def test_what_cannot_be_read_as_sql_is_told(archive: Path) -> None:
    with pytest.raises(QueryError, match="syntax"):
        answer(archive, "SELEC 1")
    with pytest.raises(QueryError, match="nothing"):
        answer(archive, "SELECT nothing FROM events")


def test_a_file_that_is_none_is_told(tmp_path: Path) -> None:
    file = tmp_path / "tenant=t0/year=2026/month=11/day=29/hour=01/broken.parquet"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"no file of rows")
    with pytest.raises(QueryError, match=r"(?s)the archive cannot be read.*`cloudscale archive verify` names"):
        answer(tmp_path, "SELECT 1")
