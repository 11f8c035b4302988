"""The time by which documents are stamped."""

import time


class Clock:
    """Unix seconds that never go back, so that the order of timestamps is the order of sequence numbers."""

    def __init__(self) -> None:
        self._last = 0

    def now(self) -> int:
        """The current second."""
        self._last = max(self._last, int(time.time()))
        return self._last

    def not_before(self, timestamp: int) -> None:
        """Never answer less than ``timestamp``."""
        self._last = max(self._last, timestamp)
