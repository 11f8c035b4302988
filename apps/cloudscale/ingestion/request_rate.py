"""How many requests a second this process answers, for the autoscaler that asks ``/figures``."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

SAMPLE_SECONDS = 1.0
SAMPLES = 10
"""Long enough to even out single seconds, short enough that a burst is answered with replicas while it lasts."""


class RequestRate:
    """A mean over the last ten seconds, from samples of a count that only grows."""

    def __init__(self, count: Callable[[], float], *, clock: Callable[[], float] = time.monotonic) -> None:
        self._count = count
        self._clock = clock
        self._samples: deque[tuple[float, float]] = deque(maxlen=SAMPLES + 1)
        self.sample()

    def sample(self) -> None:
        """Look at the count now."""
        self._samples.append((self._clock(), self._count()))

    async def sample_every_second(self) -> None:
        """Sample until cancelled."""
        while True:
            await asyncio.sleep(SAMPLE_SECONDS)
            self.sample()

    @property
    def per_second(self) -> float:
        """Requests a second."""
        (began, first), (ended, last) = self._samples[0], self._samples[-1]
        return (last - first) / (ended - began) if ended > began else 0.0
