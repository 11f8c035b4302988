"""Files that hold something private are whole, and for their owner only."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

import pytest
from tests.servers.disk import can_mount, small_disk

from cloudscale.private_files import open_private, write_private

if TYPE_CHECKING:
    from pathlib import Path


def test_a_file_that_is_opened_to_write_is_its_owners_alone(tmp_path: Path) -> None:
    for _ in range(2):
        with open_private(tmp_path / "file", "ab") as file:
            file.write(b"x")
    assert (tmp_path / "file").read_bytes() == b"xx"
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o600


@pytest.mark.skipif(not can_mount(), reason="mounting a small disk takes root")
def test_a_key_that_finds_no_room_leaves_no_empty_file(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", megabytes=1) as disk:
        disk.fill()
        with pytest.raises(OSError, match="No space left"):
            write_private(disk.path / "key", b"secret")
        assert not (disk.path / "key").exists()
        disk.free(megabytes=2)
        write_private(disk.path / "key", b"secret")
        assert (disk.path / "key").read_bytes() == b"secret"


@pytest.mark.skipif(not can_mount(), reason="mounting a small disk takes root")
def test_a_file_that_finds_no_room_is_named_and_stays_as_it_was(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", megabytes=1) as disk:
        file = disk.path / "file"
        write_private(file, b"before")
        disk.fill()
        with pytest.raises(OSError, match="No space left") as caught:
            write_private(file, b"x" * 100_000)

        assert caught.value.filename == str(file)
        assert file.read_bytes() == b"before"
        assert sorted(each.name for each in disk.path.iterdir()) == ["file", "filler"]
