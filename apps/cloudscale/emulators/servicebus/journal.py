"""An append-only journal of checksummed records in segment files, for acknowledged data to survive a killed process.

A record is four octets of length, four of CRC-32 and its body. Appending only buffers; :meth:`Journal.write` hands all
records of a turn of the event loop to the kernel with one call, after which they survive the end of the process, and
:meth:`Journal.sync` (which may run in a thread) makes them survive the end of the machine.

Segments are deleted from the oldest on, and only when nothing in them lives, so a record that ends the life of an
earlier one is never lost before it. Each segment starts with a snapshot of the state that is not messages, written by
the owner (``snapshot``), so nothing but live messages keeps an old segment. A torn record at the very end, left by a
crash, is cut off; damage anywhere else is refused loudly.

The first failure is the last act: what is in memory is ahead of the disk from then on, so whatever would write raises
as well; ``failed`` tells the owner, whoever made the call.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import struct
import threading
import time
import zlib
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cloudscale.errors import CloudScaleError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from typing import NoReturn

SEGMENT_BYTES = 64 * 1024 * 1024
_HEADER = struct.Struct(">II")
_NAME = "{:012d}.journal"


class JournalError(CloudScaleError):
    """The journal cannot be used: it is damaged, locked by another process, or its disk refuses to write."""


@dataclass(slots=True)
class Segment:
    """One file of the journal; ``live`` and ``live_bytes`` count the records in it that still matter."""

    number: int
    path: Path
    descriptor: int
    size: int = 0
    live: int = 0
    live_bytes: int = 0


class Journal:
    """The journal in one directory. Not thread-safe, but for :meth:`sync`."""

    def __init__(self, directory: Path, *, segment_bytes: int = SEGMENT_BYTES) -> None:
        """Open or create the journal.

        Raises:
            JournalError: another process uses the directory.
        """
        directory.mkdir(parents=True, exist_ok=True)
        self._directory = directory
        self._segment_bytes = segment_bytes
        self._lock = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._lock)
            raise JournalError(
                f"{directory} is in use by another emulator: stop it, or choose another --data-dir"
            ) from None
        self.segments: deque[Segment] = deque()
        self.snapshot: Callable[[], Iterator[bytes]] = lambda: iter(())
        self.failed: Callable[[], None] = lambda: None
        self.failure: JournalError | None = None
        self._by_number: dict[int, Segment] = {}
        self._buffer: list[bytes] = []
        self._written = 0
        self._unsynchronised = False
        # A segment must not be closed while another thread synchronises it.
        self._synchronising = threading.Lock()
        self.bytes_written = 0
        self.sync_seconds = 0.0
        self.syncs = 0

    def replay(self) -> Iterator[tuple[Segment, int, memoryview]]:
        """Read all records from the start: the segment, the offset of the body in it, the body.

        Opens the last segment for appending when it is through.

        Raises:
            JournalError: a record other than the last one is damaged.
        """
        paths = sorted(self._directory.glob("*.journal"))
        for path in paths:
            segment = Segment(int(path.stem), path, os.open(path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC))
            self._add(segment)
            size = os.fstat(segment.descriptor).st_size
            if size:
                with (
                    mmap.mmap(segment.descriptor, size, access=mmap.ACCESS_READ) as content,
                    memoryview(content) as view,
                ):
                    yield from self._records(segment, view, last=path is paths[-1])
            if segment.size < size:
                os.ftruncate(segment.descriptor, segment.size)
        if not self.segments:
            self._start_segment(1)
        self._written = self.segments[-1].size

    def _records(self, segment: Segment, view: memoryview, *, last: bool) -> Iterator[tuple[Segment, int, memoryview]]:
        position, end = 0, len(view)
        while position < end:
            body_start = position + _HEADER.size
            length, checksum = _HEADER.unpack_from(view, position) if body_start <= end else (0, 0)
            body_end = body_start + length
            if not length or body_end > end or zlib.crc32(view[body_start:body_end]) != checksum:
                if last:
                    return
                raise JournalError(
                    f"{segment.path} is damaged at octet {position}: restore the data directory from a copy, or move "
                    "the file away to go on without its messages"
                )
            with view[body_start:body_end] as body:
                yield segment, body_start, body
            segment.size = position = body_end

    def append(self, *parts: bytes) -> tuple[int, int]:
        """Buffer a record; return the number of its segment and the offset its body will have."""
        segment = self.segments[-1]
        if segment.size >= self._segment_bytes:
            segment = self._rotate()
        length, checksum = 0, 0
        for part in parts:
            length += len(part)
            checksum = zlib.crc32(part, checksum)
        self._buffer.append(_HEADER.pack(length, checksum))
        self._buffer.extend(parts)
        offset = segment.size + _HEADER.size
        segment.size = offset + length
        return segment.number, offset

    def write(self) -> None:
        """Hand every buffered record to the kernel.

        Raises:
            JournalError: the disk refuses, now or before.
        """
        self._check()
        if not self._buffer:
            return
        segment = self.segments[-1]
        data = memoryview(b"".join(self._buffer))
        self._buffer.clear()
        try:
            while data:
                count = os.write(segment.descriptor, data)
                self._written += count
                self.bytes_written += count
                data = data[count:]
        except OSError as error:
            self._fail(f"{segment.path} cannot be written: {error.strerror}; make room and restart", error)
        self._unsynchronised = True

    @property
    def unsynchronised(self) -> bool:
        """Whether something was written that :meth:`sync` has not seen."""
        return self._unsynchronised

    def sync(self) -> None:
        """Wait until the disk has what was written.

        Raises:
            JournalError: the disk reports an error, after which nothing it said before can be trusted.
        """
        started = time.perf_counter()
        # Who comes while another thread synchronises has to wait for it, though nothing new is left to do.
        with self._synchronising:
            self._check()
            if not self._unsynchronised:
                return
            self._unsynchronised = False
            segment = self.segments[-1]
            try:
                os.fdatasync(segment.descriptor)
            except OSError as error:
                self._fail(f"{segment.path} cannot be synchronised: {error.strerror}; replace the disk", error)
            self.sync_seconds += time.perf_counter() - started
            self.syncs += 1

    def read(self, number: int, offset: int, length: int) -> bytes:
        """Read octets of a record back; raises as :meth:`write` does if they have to be written first."""
        segment = self._by_number[number]
        if segment is self.segments[-1] and offset + length > self._written:
            self.write()
        return os.pread(segment.descriptor, length, offset)

    def retain(self, number: int, size: int) -> None:
        """Count a record of ``size`` octets as live."""
        segment = self._by_number[number]
        segment.live += 1
        segment.live_bytes += size

    def release(self, number: int, size: int) -> None:
        """Count a record as dead."""
        segment = self._by_number[number]
        segment.live -= 1
        segment.live_bytes -= size

    def collect(self) -> int:
        """Delete the oldest segments in which nothing lives; return how many. Raises as :meth:`write` does."""
        deleted = 0
        while len(self.segments) > 1 and not self.segments[0].live:
            if not deleted:
                # What made their records dead has to outlive them.
                self.write()
                self.sync()
            segment = self.segments.popleft()
            del self._by_number[segment.number]
            with self._synchronising:
                os.close(segment.descriptor)
            try:
                segment.path.unlink()
            except OSError as error:
                self._fail(f"{segment.path} cannot be deleted: {error.strerror}; look after the directory", error)
            deleted += 1
        return deleted

    def sparse_segment(self) -> int | None:
        """Name the oldest segment if so little in it lives that moving it out is worth the room it gives back."""
        if len(self.segments) < 4:
            return None
        total = sum(segment.size for segment in self.segments)
        live = sum(segment.live_bytes for segment in self.segments)
        oldest = self.segments[0]
        return oldest.number if live * 2 < total and oldest.live_bytes * 4 < oldest.size else None

    def close(self) -> None:
        """Write and synchronise, unless the journal failed before, and give the directory free.

        Raises:
            JournalError: the disk refuses what is left.
        """
        try:
            if self.failure is None:
                self.write()
                self.sync()
        finally:
            with self._synchronising:
                for segment in self.segments:
                    os.close(segment.descriptor)
            os.close(self._lock)

    def _rotate(self) -> Segment:
        """Start a new segment. The old one is synchronised first, so only the newest can ever have a torn end."""
        self.write()
        self.sync()
        segment = self._start_segment(self.segments[-1].number + 1)
        self._written = 0
        for body in self.snapshot():
            self._buffer += (_HEADER.pack(len(body), zlib.crc32(body)), body)
            segment.size += _HEADER.size + len(body)
        return segment

    def _start_segment(self, number: int) -> Segment:
        path = self._directory / _NAME.format(number)
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600)
            segment = Segment(number, path, descriptor)
            self._add(segment)
            directory = os.open(self._directory, os.O_RDONLY)
            try:
                os.fsync(directory)
            finally:
                os.close(directory)
        except OSError as error:
            self._fail(f"{path} cannot be created: {error.strerror}; make room and restart", error)
        return segment

    def _fail(self, reason: str, error: OSError) -> NoReturn:
        self.failure = JournalError(reason)
        # To append looks at this figure alone and then writes, which raises: so the usual case pays for no check.
        self._segment_bytes = 0
        self.failed()
        raise self.failure from error

    def _check(self) -> None:
        if self.failure is not None:
            raise JournalError(str(self.failure))

    def _add(self, segment: Segment) -> None:
        self.segments.append(segment)
        self._by_number[segment.number] = segment
