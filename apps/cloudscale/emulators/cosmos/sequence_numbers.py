"""The two sequences of a container: of its writes (LSN) and of its documents (resource ids).

Both rise and no number is used twice, also after a restart: numbers are reserved in blocks, since the documents with
the highest ones may be gone by then. A transaction takes one LSN for all its writes, however many documents it adds.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

RESERVED_SEQUENCE_NUMBERS: Final = 10_000


class SequenceNumbers:
    """What was given out last. Changes happen within a write of the storage."""

    def __init__(self, connection: sqlite3.Connection, container: int) -> None:
        self._connection = connection
        self._container = container
        (reserved,) = connection.execute("SELECT reserved FROM containers WHERE number = ?", (container,)).fetchone()
        self.lsn = self.document = self._reserved = int(reserved)
        self._shared: int | None = None
        self._before = (self.lsn, self.document, self._reserved)

    def begin(self) -> None:
        """Remember where the sequences are before a write."""
        self._before = (self.lsn, self.document, self._reserved)

    def discard(self) -> None:
        """The write was rolled back."""
        self.lsn, self.document, self._reserved = self._before

    def next_document(self) -> int:
        """The number of a new document."""
        self.document += 1
        self._reserve(self.document)
        return self.document

    def next_lsn(self) -> int:
        """The number of a write: its own, or the one of the transaction."""
        if self._shared is not None:
            return self._shared
        self.lsn += 1
        self._reserve(self.lsn)
        return self.lsn

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All writes inside have one number, so that readers of changes get all of them or none."""
        self._shared = self.next_lsn()
        try:
            yield
        finally:
            self._shared = None

    def _reserve(self, number: int) -> None:
        if number > self._reserved:
            self._reserved += RESERVED_SEQUENCE_NUMBERS
            self._connection.execute(
                "UPDATE containers SET reserved = ? WHERE number = ?", (self._reserved, self._container)
            )
