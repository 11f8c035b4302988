from __future__ import annotations

import fcntl
import os
import stat
import subprocess
from typing import TYPE_CHECKING

import pytest

from cloudscale.errors import ConfigurationError
from cloudscale.local.directory import DataDirectory, RunRecord, read_record
from cloudscale.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path

RECORD = RunRecord(
    pid=os.getpid(),
    ingestion_url="http://127.0.0.1:8080",
    dashboard_url=None,
    settings=Settings(pipeline_file="pipeline.json", redis_url="redis://:secret@127.0.0.1:1/0"),
)


def test_a_second_run_on_the_same_directory_is_told_who_holds_it(tmp_path: Path) -> None:
    with (
        DataDirectory(tmp_path),
        pytest.raises(ConfigurationError, match=f"in use by process {os.getpid()}.*--data-dir"),
        DataDirectory(tmp_path),
    ):
        pass


def test_a_directory_can_be_held_again_after_it_was_left(tmp_path: Path) -> None:
    with DataDirectory(tmp_path):
        pass
    with DataDirectory(tmp_path) as directory:
        assert directory.path == tmp_path


def test_a_directory_that_cannot_be_made_is_refused_with_the_option_that_changes_it(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(ConfigurationError, match="--data-dir"), DataDirectory(tmp_path / "file" / "data"):
        pass


def test_other_commands_find_the_run_while_it_holds_the_directory(tmp_path: Path) -> None:
    with DataDirectory(tmp_path) as directory:
        directory.write_record(RECORD)
        assert read_record(tmp_path) == RECORD
    with pytest.raises(ConfigurationError, match="no pipeline runs in"):
        read_record(tmp_path)


def test_the_record_of_a_run_that_was_killed_is_not_believed(tmp_path: Path) -> None:
    with DataDirectory(tmp_path) as directory:
        directory.write_record(RECORD)
        left_behind = (tmp_path / "run.json").read_bytes()
    (tmp_path / "run.json").write_bytes(left_behind)

    with pytest.raises(ConfigurationError, match="no pipeline runs in"):
        read_record(tmp_path)


def test_a_data_directory_that_is_a_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("")

    with pytest.raises(ConfigurationError, match=r"file/run\.json cannot be read \(Not a directory\).*--data-dir"):
        read_record(path)


@pytest.mark.parametrize("content", [b'{"something": "else"}', b'{"pid": 1, "ingestion_url": "\xff"}'])
def test_a_record_of_another_version_is_named(tmp_path: Path, content: bytes) -> None:
    with DataDirectory(tmp_path):
        (tmp_path / "run.json").write_bytes(content)
        with pytest.raises(ConfigurationError, match=r"run\.json cannot be read"):
            read_record(tmp_path)


def test_what_holds_keys_is_readable_by_its_owner_only(tmp_path: Path) -> None:
    with DataDirectory(tmp_path) as directory:
        directory.write_record(RECORD)
        files = [tmp_path / "run.json", directory.secret("redis", make=lambda: "key")]
        assert [stat.S_IMODE(file.stat().st_mode) for file in files] == [0o600, 0o600]


def test_a_secret_is_made_once(tmp_path: Path) -> None:
    with DataDirectory(tmp_path) as directory:
        first = directory.secret("redis", make=lambda: "first").read_text()
        assert directory.secret("redis", make=lambda: "second").read_text() == first == "first"


def test_a_start_waits_for_what_a_run_that_was_killed_has_left(tmp_path: Path) -> None:
    dead = subprocess.Popen(["true"])
    dead.wait()
    (tmp_path / "lock").write_text(str(dead.pid))
    command = ["flock", str(tmp_path / "lock"), "sh", "-c", "echo held; sleep 1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as left:
        assert left.stdout is not None
        left.stdout.readline()
        with DataDirectory(tmp_path):
            assert left.poll() is not None


def test_what_does_not_end_is_refused_with_how_to_find_it(tmp_path: Path) -> None:
    dead = subprocess.Popen(["true"])
    dead.wait()
    (tmp_path / "lock").write_text(str(dead.pid))
    with (tmp_path / "lock").open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with (
            pytest.raises(ConfigurationError, match=f"that process {dead.pid} has left behind"),
            DataDirectory(tmp_path, ending_seconds=0.2),
        ):
            pass


def test_a_directory_of_an_older_run_becomes_its_owners_alone(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "cosmos.sqlite").touch()
    (tmp_path / "lock").touch()
    (tmp_path / "somebody-elses").touch()
    outside = tmp_path.parent / "outside"
    outside.touch()
    (tmp_path / "store" / "link").symlink_to(outside)
    for path in (tmp_path, tmp_path / "store"):
        path.chmod(0o755)
    for path in (tmp_path / "store" / "cosmos.sqlite", tmp_path / "lock", tmp_path / "somebody-elses", outside):
        path.chmod(0o644)
    with DataDirectory(tmp_path):
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path, *tmp_path.rglob("*"))}
    assert modes == {
        tmp_path.name: 0o700,
        "store": 0o700,
        "cosmos.sqlite": 0o600,
        "lock": 0o600,
        "somebody-elses": 0o644,
        "link": 0o644,
    }


def test_a_home_that_is_given_as_data_directory_keeps_its_mode(tmp_path: Path) -> None:
    (tmp_path / "letter").touch()
    tmp_path.chmod(0o755)
    with DataDirectory(tmp_path):
        assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o755
