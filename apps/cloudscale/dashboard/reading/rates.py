"""How much callers may read: so many requests of each, and so many questions to the store at once.

Both are counted in the memory of this process. A dashboard has few replicas, so the sum over them is bounded as well.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

import msgspec

from cloudscale.dashboard.problems import Kind, RefusedReadingError, retry_after, unavailable
from cloudscale.limits.token_buckets import TokenBuckets

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

TRACKED_CALLERS: Final = 10_000

READS_AT_ONCE: Final = 4
WAIT_SECONDS: Final = 5.0


class ReadingRates(msgspec.Struct, frozen=True, kw_only=True):
    """A token bucket of requests: so many at once, and so many a second for long."""

    burst: int = 50
    per_second: float = 10.0


class ReadingLimits:
    """The limits of one process. The clock is the event loop's."""

    def __init__(self, rates: ReadingRates = ReadingRates()) -> None:  # noqa: B008 - frozen
        self._rates = rates
        self._callers = TokenBuckets(burst=rates.burst, per_second=rates.per_second, tracked=TRACKED_CALLERS)
        self._at_once = asyncio.Semaphore(READS_AT_ONCE)

    def admit(self, caller: str) -> None:
        """Count a request of a caller.

        Raises:
            RefusedReadingError: it is one too many.
        """
        rates, now = self._rates, asyncio.get_running_loop().time()
        wait_seconds = self._callers.wait_seconds(caller, now_seconds=now)
        if wait_seconds > 0:
            raise RefusedReadingError(
                Kind.RATE_LIMITED,
                f"One key or token may read {rates.burst} times at once and {rates.per_second:g} times a second.",
                headers=retry_after(wait_seconds),
            )
        self._callers.take(caller, now_seconds=now)

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Ask the store while the context lasts.

        Raises:
            RefusedReadingError: too many others do.
        """
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                await self._at_once.acquire()
        except TimeoutError:
            raise unavailable("Too many requests read at the same time: try again.") from None
        try:
            yield
        finally:
            self._at_once.release()
