"""Deadlines that are mostly cancelled: a heap whose stale entries are dropped late."""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Key = TypeVar("Key")


class Deadlines(Generic[Key]):
    """Keys ordered by the moment they fall due, in milliseconds.

    A key is cancelled by no longer being due: ``current`` says when a key falls due now, or ``None``. Stale entries
    would pile up (a message is locked for minutes and settled within milliseconds), so the heap is rebuilt when most of
    it is stale; pushing stays O(log n) amortised.
    """

    REBUILD_ABOVE = 1024

    def __init__(self, current: Callable[[Key], int | None]) -> None:
        self._current = current
        self._heap: list[tuple[int, Key]] = []
        self._rebuild_at = self.REBUILD_ABOVE

    def push(self, when: int, key: Key) -> None:
        """Note that ``key`` falls due at ``when``."""
        heapq.heappush(self._heap, (when, key))
        if len(self._heap) > self._rebuild_at:
            self._heap = [entry for entry in self._heap if self._current(entry[1]) == entry[0]]
            heapq.heapify(self._heap)
            self._rebuild_at = max(self.REBUILD_ABOVE, 2 * len(self._heap))

    def due(self, now: int) -> Iterator[Key]:
        """Take out the keys that are due, earliest first."""
        while self._heap and self._heap[0][0] <= now:
            when, key = heapq.heappop(self._heap)
            if self._current(key) == when:
                yield key

    def __len__(self) -> int:
        return len(self._heap)
