"""Token buckets by name, in the memory of one process: so many at once, and so many a second for long."""

from __future__ import annotations

from collections import OrderedDict


class TokenBuckets:
    """The buckets of those who have taken tokens; the clock is the caller's, in seconds.

    Args:
        burst: tokens that a full bucket has.
        per_second: tokens that come back in a second.
        tracked: buckets that are kept. Beyond that, whoever took tokens longest ago begins anew.
    """

    def __init__(self, *, burst: float, per_second: float, tracked: int) -> None:
        self._burst = float(burst)
        self._per_second = per_second
        self._tracked = tracked
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()
        """Tokens that are left, and when that was so."""

    def __len__(self) -> int:
        """How many buckets are kept."""
        return len(self._buckets)

    def wait_seconds(self, name: str, *, now_seconds: float) -> float:
        """How long it takes until there is a token; 0 if there is one."""
        if name not in self._buckets:
            return 0.0
        left = self._left(name, now_seconds)
        return 0.0 if left >= 1 else (1 - left) / self._per_second

    def take(self, name: str, *, now_seconds: float) -> None:
        """Take a token, whether there is one or not."""
        self._buckets[name] = (self._left(name, now_seconds) - 1, now_seconds)
        self._buckets.move_to_end(name)
        if len(self._buckets) > self._tracked:
            self._buckets.popitem(last=False)

    def _left(self, name: str, now_seconds: float) -> float:
        left, at = self._buckets.get(name, (self._burst, now_seconds))
        return min(self._burst, left + (now_seconds - at) * self._per_second)
