from __future__ import annotations

import contextlib
import os
import threading
from concurrent.futures import ThreadPoolExecutor, wait
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloudscale.emulators.servicebus.journal import Journal, JournalError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

TIMEOUT_SECONDS = 10
QUIET_SECONDS = 0.2


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


@contextlib.contextmanager
def refusing(journal: Journal) -> Iterator[None]:
    """Let no write to the newest segment succeed for a while."""
    descriptor = journal.segments[-1].descriptor
    kept = os.dup(descriptor)
    read_only = os.open(journal.segments[-1].path, os.O_RDONLY)
    os.dup2(read_only, descriptor)
    os.close(read_only)
    yield
    os.dup2(kept, descriptor)
    os.close(kept)


def test_a_disk_that_refuses_to_write_is_an_error(tmp_path: Path) -> None:
    journal = opened(tmp_path)
    journal.append(b"record")
    with refusing(journal), pytest.raises(JournalError, match="cannot be written"):
        journal.write()
    journal.close()


@pytest.mark.parametrize(
    "call",
    [
        lambda journal: journal.write(),
        lambda journal: journal.sync(),
        lambda journal: journal.append(b"later"),
        lambda journal: journal.read(3, 8, 9),
        lambda journal: journal.collect(),
    ],
    ids=["write", "sync", "append", "read", "collect"],
)
def test_after_one_failure_every_call_fails_although_the_disk_would_work_again(
    tmp_path: Path, call: Callable[[Journal], object]
) -> None:
    journal = opened(tmp_path, segment_bytes=10)
    journal.append(b"a record that fills a segment")
    journal.append(b"record")
    journal.write()
    journal.append(b"unwritten")
    with refusing(journal), pytest.raises(JournalError):
        journal.write()
    with pytest.raises(JournalError, match="cannot be written"):
        call(journal)
    journal.close()
    assert b"later" not in records(tmp_path)


@pytest.mark.parametrize("call", [lambda journal: journal.append(b"next"), lambda journal: journal.read(1, 8, 6)])
def test_the_journal_tells_of_its_failure_itself_whoever_called(
    tmp_path: Path, call: Callable[[Journal], object]
) -> None:
    journal = opened(tmp_path, segment_bytes=10)
    told = []
    journal.failed = lambda: told.append(journal.failure)
    journal.append(b"a record that fills the segment")
    with refusing(journal), pytest.raises(JournalError):
        call(journal)
    assert len(told) == 1
    assert isinstance(told[0], JournalError)
    journal.close()


def test_nobody_leaves_the_synchronisation_before_the_disk_has_the_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = opened(tmp_path)
    entered, finished = threading.Event(), threading.Event()
    real = os.fdatasync

    def slow(descriptor: int) -> None:
        entered.set()
        finished.wait(TIMEOUT_SECONDS)
        real(descriptor)

    monkeypatch.setattr(os, "fdatasync", slow)
    journal.append(b"record")
    journal.write()
    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(journal.sync)
        assert entered.wait(TIMEOUT_SECONDS)
        second = threads.submit(journal.sync)
        done, _ = wait([second], timeout=QUIET_SECONDS)
        finished.set()
        first.result(TIMEOUT_SECONDS)
        second.result(TIMEOUT_SECONDS)
    assert not done
    assert journal.syncs == 1
    journal.close()


def test_a_segment_that_cannot_be_created_is_a_failure_too(tmp_path: Path) -> None:
    journal = opened(tmp_path, segment_bytes=10)
    journal.append(b"a record that fills the segment")
    (tmp_path / "000000000002.journal").touch()
    with pytest.raises(JournalError, match="cannot be created"):
        journal.append(b"next")
    assert journal.failure is not None
    journal.close()
