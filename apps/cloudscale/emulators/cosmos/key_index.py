"""Which document number a (partition, id) has: a unique index whose cost does not grow with the container.

Ids are random, so an ordinary B-tree over them dirties one page for every document as soon as it has more pages than
a batch has documents: at a million documents that quadruples the cost of a write (measured: 4 µs a document at ten
thousand, 18 µs at a million). So new keys stay in memory, and when there are many they are merged into the table in
key order, a slice with each following write, where one page takes several keys: the idea of the log-structured merge
tree (O'Neil et al., 1996) with two levels.

Nothing is lost with the memory: numbers rise, the container remembers up to which number its keys are merged, and the
keys after it are read from the documents at the start.
"""

import sqlite3
from collections.abc import Sequence
from hashlib import blake2b
from typing import Final

# Up to 30 MB of memory in a container that is being filled.
YOUNG_KEYS: Final = 100_000
MERGE_SLICE: Final = 1_000
DIGEST_BYTES: Final = 10


def key_digest(partition: int, document_id: str) -> bytes:
    """80 bits that stand for the key: among ten million documents a collision has a chance of 4 in 10^11.

    Whoever loads a document by it checks that it is the one; a shorter digest would make the table larger than caches.
    """
    return blake2b(f"{partition}/{document_id}".encode(), digest_size=DIGEST_BYTES).digest()


class KeyIndex:
    """The keys of one container. Changes of the write that is being made are pending until ``keep`` or ``discard``."""

    def __init__(self, connection: sqlite3.Connection, container: int) -> None:
        self._connection = connection
        self._container = container
        self._table = f"keys_{container}"
        self._pending: dict[bytes, int | None] = {}
        self._looked_up: dict[bytes, int | None] = {}
        self._young: dict[bytes, int] = {}
        self._sealed: dict[bytes, int] = {}
        self._merge_order: list[bytes] = []
        self._merging: list[bytes] = []
        self._sealed_up_to = 0
        self.load()

    def load(self) -> None:
        """Read the keys that are not merged yet from the documents."""
        (merged,) = self._connection.execute(
            "SELECT merged FROM containers WHERE number = ?", (self._container,)
        ).fetchone()
        # While nothing was ever merged the table needs no look.
        self.has_merged = merged > 0
        rows = self._connection.execute(
            f"SELECT partition, id, number FROM documents_{self._container} WHERE number > ?",
            (merged,),
        )
        self._young = {key_digest(partition, name.decode()): number for partition, name, number in rows}
        self._pending, self._looked_up, self._sealed = {}, {}, {}
        self._merge_order, self._merging = [], []

    def look_up(self, digests: Sequence[bytes]) -> None:
        """Get the answers for many keys from the table at once, for ``find`` to give them during this write.

        A statement for each key costs several times as much as its share of one statement for a hundred.
        """
        unknown = [digest for digest in digests if digest not in self._young and digest not in self._sealed]
        places = ",".join("?" * len(unknown))
        rows = self._connection.execute(f"SELECT digest, number FROM {self._table} WHERE digest IN ({places})", unknown)
        self._looked_up = dict.fromkeys(unknown)
        self._looked_up.update(rows)

    def find(self, digest: bytes) -> int | None:
        """The number of the document with this key."""
        if digest in self._pending:
            return self._pending[digest]
        number = self._young.get(digest) or self._sealed.get(digest)
        if number is not None:
            return number
        if not self.has_merged:
            return None
        if digest in self._looked_up:
            return self._looked_up[digest]
        row = self._connection.execute(f"SELECT number FROM {self._table} WHERE digest = ?", (digest,)).fetchone()
        return None if row is None else int(row[0])

    def add(self, digest: bytes, number: int) -> None:
        """Remember a key that ``find`` did not know."""
        self._pending[digest] = number

    def remove(self, digest: bytes) -> None:
        """Forget a key."""
        self._pending[digest] = None
        self._connection.execute(f"DELETE FROM {self._table} WHERE digest = ?", (digest,))

    def rename(self, old: bytes, new: bytes, number: int) -> None:
        """Give a document another key, at once in the table: its number may be among those that are merged."""
        self.remove(old)
        self.add(new, number)
        self._connection.execute(f"INSERT OR REPLACE INTO {self._table} VALUES (?, ?)", (new, number))

    def keep(self) -> None:
        """The write succeeded."""
        for digest, number in self._pending.items():
            if number is None:
                self._young.pop(digest, None)
                self._sealed.pop(digest, None)
            else:
                self._young[digest] = number
        if self._merging:
            del self._merge_order[-len(self._merging) :]
            for digest in self._merging:
                self._sealed.pop(digest, None)
        self._forget_write()

    def discard(self) -> None:
        """The write was rolled back."""
        self._forget_write()

    def _forget_write(self) -> None:
        self._pending.clear()
        self._looked_up.clear()
        self._merging = []

    @property
    def is_merging(self) -> bool:
        """Whether the write that is being made merges a slice."""
        return bool(self._merging)

    @property
    def wants_merge(self) -> bool:
        """Whether there is enough to merge, or a merge to go on with."""
        return bool(self._merge_order) or len(self._young) >= YOUNG_KEYS

    def merge_step(self, last_number: int) -> None:
        """Merge one slice into the table, in a write of its own; all numbers up to ``last_number`` are kept.

        The slice leaves memory with ``keep``: until then the table may lose it again.
        """
        if not self.wants_merge:
            return
        if not self._merge_order:
            self._sealed, self._young = self._young, {}
            self._merge_order = sorted(self._sealed, reverse=True)
            self._sealed_up_to = last_number
        self.has_merged = True
        self._merging = self._merge_order[-MERGE_SLICE:]
        rows = [(digest, self._sealed[digest]) for digest in reversed(self._merging) if digest in self._sealed]
        self._connection.executemany(f"INSERT OR REPLACE INTO {self._table} VALUES (?, ?)", rows)
        if len(self._merging) == len(self._merge_order):
            self._connection.execute(
                "UPDATE containers SET merged = ? WHERE number = ?", (self._sealed_up_to, self._container)
            )
