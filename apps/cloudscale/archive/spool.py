"""Events that wait to be a file: lines on the disk, so that memory is bounded whatever waits."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import msgspec

from cloudscale.archive.rows import RefusedEventError, as_row
from cloudscale.errors import BackendUnavailableError
from cloudscale.private_files import open_private

if TYPE_CHECKING:
    from pathlib import Path

    from cloudscale.archive.rows import Row
    from cloudscale.store.batches import Document
    from cloudscale.store.feed_range import FeedRange


UNWRITABLE = (UnicodeEncodeError, OverflowError, msgspec.MsgspecError)
"""What the encoder raises for half a character, for a number of more than 64 bits, and for what is no JSON."""


class ArchiveUnavailableError(BackendUnavailableError):
    """The archive does not take files at present, such as on a full disk."""


class Spool:
    """The events of one range after the number ``after``, in files of ``folder``, which nothing else is in.

    ``merged`` says that some of them may be in the archive, as those of ranges that this one is put together of;
    ``is_at_end`` that the range was read to its end since.
    """

    def __init__(self, folder: Path, *, container: str, of: FeedRange, after: int, merged: bool = False) -> None:
        self.folder = folder
        self.container = container
        self.range = of
        self.after = self.last = after
        self.merged = merged
        self.is_at_end = False
        self.rows = self.bytes = self.refused = 0
        self.began = time.monotonic()
        self.rows_path, self.refused_path = folder / "rows.ndjson", folder / "refused.ndjson"
        try:
            folder.mkdir(parents=True)
        except OSError as error:
            raise unavailable(error) from error
        self._encoder = msgspec.json.Encoder()

    def add(self, events: list[Document]) -> None:
        """Add a page of events, less those that were archived before.

        Raises:
            ArchiveUnavailableError: the disk does not take them.
        """
        new = [event for event in events if event["_lsn"] > self.after]
        rows: list[Row] = []
        taken: list[Document] = []
        for event in new:
            try:
                rows.append(as_row(event))
                taken.append(event)
            except RefusedEventError as error:
                self.refuse(json.dumps(event), str(error))
        try:
            self._append(rows)
        except UNWRITABLE:
            for row, event in zip(rows, taken, strict=True):
                try:
                    self._append([row])
                except UNWRITABLE as error:
                    self.refuse(json.dumps(event), f"it cannot be written as JSON: {error}")
        if new:
            self.last = max(self.last, new[-1]["_lsn"])

    def _append(self, rows: list[Row]) -> None:
        lines = self._encoder.encode_lines(rows)
        self._write(self.rows_path, lines)
        self.rows += len(rows)
        self.bytes += len(lines)

    def refuse(self, document: str, reason: str) -> None:
        """Put a document aside that can be no row."""
        line = f'{{"reason":{json.dumps(reason)},"document":{document}}}\n'
        self._write(self.refused_path, line.encode())
        self.refused += 1

    def _write(self, path: Path, content: bytes) -> None:
        try:
            with open_private(path, "ab") as file:
                file.write(content)
        except OSError as error:
            raise unavailable(error) from error


def unavailable(error: OSError) -> ArchiveUnavailableError:
    """The error that the file system's means for the archive."""
    return ArchiveUnavailableError(
        f"the archive cannot write {error.filename or 'its files'} ({error.strerror or error}): make room, "
        "or give the right to write there"
    )
