"""The operator's clocks and intervals, handed to whatever waits or dates something."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def utc_now() -> datetime:
    """The present moment in UTC."""
    return datetime.now(UTC)


@dataclass(frozen=True, kw_only=True)
class Timing:
    """When things happen. The defaults are those of a running operator."""

    now: Callable[[], datetime] = utc_now
    """Dates what others read."""
    monotonic: Callable[[], float] = time.monotonic
    """Seconds, for measuring how much time has passed."""

    settle_seconds: float = 1.5
    """Until the watches have shown most objects; an object not seen yet would be applied once more, to no effect."""
    visit_seconds: float = 120.0
    """Longest time of one reconcile. Every call in it has a shorter time-out of its own."""
    silent_seconds: float = 180.0
    """Longest time without a sign of life of the workers: all of them may be within a visit for a while."""
    idle_seconds: float = 5.0
    """How often a worker without work shows a sign of life."""
    relist_seconds: float = 300.0
    """How often every object is listed, to find what the watches have missed."""
    first_pod_check_seconds: float = 5.0
    """Until pods that do not run are listed for the first time: at first every pod is still starting."""
    pod_check_seconds: float = 10.0
    """How late it is noticed what keeps a pod from running."""


DEFAULT_TIMING = Timing()
