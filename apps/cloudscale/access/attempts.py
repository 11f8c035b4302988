"""Bounds how often one address may try keys and tokens that are not valid."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from cloudscale.limits.token_buckets import TokenBuckets

TRACKED_ADDRESSES: Final = 20_000


@dataclass(frozen=True, kw_only=True)
class AttemptLimits:
    """A token bucket of wrong keys: so many at once, and so many a second for long."""

    burst: int = 30
    per_second: float = 0.5


class FailedAttempts:
    """The failed attempts of one process's callers, by address or network; the clock is the caller's, in seconds."""

    def __init__(self, limits: AttemptLimits = AttemptLimits()) -> None:
        self._buckets = TokenBuckets(burst=limits.burst, per_second=limits.per_second, tracked=TRACKED_ADDRESSES)

    def wait_seconds(self, address: str, *, now_seconds: float) -> float:
        """How long the address has to wait until it may try again; 0 if it need not."""
        return self._buckets.wait_seconds(address, now_seconds=now_seconds)

    def note(self, address: str, *, now_seconds: float) -> None:
        """Count a failed attempt."""
        self._buckets.take(address, now_seconds=now_seconds)
