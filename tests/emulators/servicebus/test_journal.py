from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloudscale.emulators.servicebus.journal import Journal, JournalError

if TYPE_CHECKING:
    from pathlib import Path


def records(directory: Path) -> list[bytes]:
    journal = Journal(directory)
    found = [bytes(body) for _, _, body in journal.replay()]
    journal.close()
    return found


def opened(directory: Path, *, segment_bytes: int = 1 << 20) -> Journal:
    journal = Journal(directory, segment_bytes=segment_bytes)
    for _ in journal.replay():
        pass
    return journal


@settings(max_examples=30)
@given(bodies=st.lists(st.binary(min_size=1, max_size=300), max_size=20))
def test_what_was_written_is_replayed_in_order(tmp_path_factory: pytest.TempPathFactory, bodies: list[bytes]) -> None:
    directory = tmp_path_factory.mktemp("journal")
    journal = opened(directory, segment_bytes=500)
    for body in bodies:
        journal.append(body[:1], body[1:])
    journal.close()
    assert records(directory) == bodies


def test_a_record_can_be_read_back_before_and_after_it_was_written(tmp_path: Path) -> None:
    journal = opened(tmp_path)
    segment, offset = journal.append(b"head", b"payload")
    assert journal.read(segment, offset + 4, 7) == b"payload"
    journal.write()
    assert journal.read(segment, offset, 4) == b"head"
    journal.close()


@given(cut=st.integers(1, 20))
def test_a_torn_end_is_cut_off_and_written_over(tmp_path_factory: pytest.TempPathFactory, cut: int) -> None:
    directory = tmp_path_factory.mktemp("journal")
    journal = opened(directory)
    journal.append(b"first")
    journal.append(b"second-record")
    journal.close()
    (file,) = directory.glob("*.journal")
    os.truncate(file, file.stat().st_size - cut)
    journal = Journal(directory)
    assert [bytes(body) for _, _, body in journal.replay()] == [b"first"]
    journal.append(b"third")
    journal.close()
    assert records(directory) == [b"first", b"third"]


def test_damage_before_the_last_segment_is_refused(tmp_path: Path) -> None:
    journal = opened(tmp_path, segment_bytes=10)
    journal.append(b"a record of the first segment")
    journal.append(b"a record of the second")
    journal.close()
    first = min(tmp_path.glob("*.journal"))
    content = bytearray(first.read_bytes())
    content[-1] ^= 1
    first.write_bytes(content)
    with pytest.raises(JournalError, match="damaged at octet 0"):
        records(tmp_path)


def test_segments_are_deleted_from_the_oldest_on_when_nothing_lives_in_them(tmp_path: Path) -> None:
    journal = opened(tmp_path, segment_bytes=10)
    numbers = [journal.append(b"some live record")[0] for _ in range(3)]
    for number in numbers:
        journal.retain(number, 16)
    journal.append(b"end")
    journal.release(numbers[1], 16)
    assert journal.collect() == 0
    journal.release(numbers[0], 16)
    assert journal.collect() == 2
    journal.close()
    assert records(tmp_path) == [b"some live record", b"end"]


def test_every_segment_starts_with_a_snapshot(tmp_path: Path) -> None:
    journal = opened(tmp_path, segment_bytes=10)
    journal.snapshot = lambda: iter([b"state"])
    journal.append(b"a record that fills a segment")
    journal.append(b"next")
    assert journal.collect() == 1
    journal.close()
    assert records(tmp_path) == [b"state", b"next"]


def test_a_directory_belongs_to_one_process(tmp_path: Path) -> None:
    journal = opened(tmp_path)
    with pytest.raises(JournalError, match="in use by another emulator"):
        Journal(tmp_path)
    journal.close()
    opened(tmp_path).close()


def test_a_disk_that_refuses_to_write_is_an_error(tmp_path: Path) -> None:
    journal = opened(tmp_path)
    journal.append(b"record")
    descriptor = journal.segments[0].descriptor
    read_only = os.open(journal.segments[0].path, os.O_RDONLY)
    os.dup2(read_only, descriptor)
    os.close(read_only)
    with pytest.raises(JournalError, match="cannot be written"):
        journal.write()
    journal.close()
