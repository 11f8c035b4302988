"""Files that give keys, while they change."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import msgspec
import yaml
from structlog.testing import capture_logs
from tests.waiting import wait_until

from cloudscale.access.given_key_files import GivenKeyFiles
from cloudscale.access.given_keys import entry_of
from cloudscale.access.new_keys import NewKey, new_key
from cloudscale.access.records import Reference

if TYPE_CHECKING:
    from pathlib import Path

SOON = timedelta(seconds=5)
CHECK_SECONDS = 0.02


def write(path: Path, *keys: NewKey) -> None:
    path.write_text(yaml.safe_dump([entry_of(key.record) for key in keys]))


def has(files: GivenKeyFiles, key: NewKey) -> bool:
    return files.find(Reference("key", key.record.id)) == key.record


async def wait_for(files: GivenKeyFiles, key: NewKey, *, there: bool) -> None:
    async def as_wanted() -> bool:
        return has(files, key) is there

    await wait_until(as_wanted, within=SOON)


async def test_keys_come_and_go_with_their_lines(tmp_path: Path) -> None:
    path, one, two = tmp_path / "keys.yaml", new_key("acme", "one"), new_key("acme", "two")
    write(path, one)
    async with GivenKeyFiles([path], check_seconds=CHECK_SECONDS) as files:
        assert (has(files, one), has(files, two)) == (True, False)
        write(path, one, two)
        await wait_for(files, two, there=True)
        write(path, two)
        await wait_for(files, one, there=False)
        assert has(files, two)


async def test_a_file_that_goes_takes_its_keys_with_it_and_brings_them_back(tmp_path: Path) -> None:
    path, key = tmp_path / "keys.yaml", new_key("acme", "web")
    write(path, key)
    async with GivenKeyFiles([path], check_seconds=CHECK_SECONDS) as files:
        path.unlink()
        await wait_for(files, key, there=False)
        assert files.find(Reference("tenant", "acme")) is None
        write(path, key)
        await wait_for(files, key, there=True)


async def test_a_file_may_come_after_the_process(tmp_path: Path) -> None:
    path, key = tmp_path / "keys.yaml", new_key("acme", "web")
    async with GivenKeyFiles([path], check_seconds=CHECK_SECONDS) as files:
        write(path, key)
        await wait_for(files, key, there=True)


async def test_a_secret_is_updated_as_the_kubelet_does_it(tmp_path: Path) -> None:
    """A link to a folder is replaced by a link to another one, so the file's own link never changes."""
    one, two = new_key("acme", "one"), new_key("acme", "two")
    for number, key in enumerate((one, two)):
        (tmp_path / f"..{number}").mkdir()
        write(tmp_path / f"..{number}" / "keys.yaml", key)
    (tmp_path / "..data").symlink_to("..0")
    (tmp_path / "keys.yaml").symlink_to("..data/keys.yaml")
    async with GivenKeyFiles([tmp_path / "keys.yaml"], check_seconds=CHECK_SECONDS) as files:
        assert has(files, one)
        (tmp_path / "..next").symlink_to("..1")
        (tmp_path / "..next").replace(tmp_path / "..data")
        await wait_for(files, two, there=True)
        assert not has(files, one)


async def test_a_file_that_cannot_be_read_any_more_leaves_the_keys_in_force(tmp_path: Path) -> None:
    path, key, other = tmp_path / "keys.yaml", new_key("acme", "web"), tmp_path / "other.yaml"
    write(path, key)
    with capture_logs() as lines:
        async with GivenKeyFiles([path, other], check_seconds=CHECK_SECONDS) as files:
            path.write_text("keys: none")
            # The second file is looked at after the first.
            late = new_key("acme", "late")
            write(other, late)
            await wait_for(files, late, there=True)
            assert has(files, key)
    said = str(lines)
    assert "those from before stay in force" in said
    assert "it is not a list of keys" in said


async def test_a_wrong_entry_is_said_by_name(tmp_path: Path) -> None:
    path, key = tmp_path / "keys.yaml", new_key("acme", "web")
    path.write_text(yaml.safe_dump([entry_of(key.record), {"id": "abcdefghijkl"}]))
    with capture_logs() as lines:
        async with GivenKeyFiles([path]) as files:
            assert has(files, key)
    assert "entry 2, key abcdefghijkl: Object missing required field" in str(lines)


async def test_where_two_files_give_one_key_the_first_counts(tmp_path: Path) -> None:
    key = new_key("acme", "web")
    write(tmp_path / "first", key)
    write(tmp_path / "second", NewKey(key.text, msgspec.structs.replace(key.record, tenant_id="contoso")))
    async with GivenKeyFiles([tmp_path / "first", tmp_path / "second"]) as files:
        assert has(files, key)
