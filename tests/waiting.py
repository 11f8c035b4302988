"""Waiting for a condition, with a bound: what tests do instead of sleeping."""

from __future__ import annotations

import asyncio
import time
from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

INTERVAL = timedelta(milliseconds=20)


async def wait_until(
    condition: Callable[[], Awaitable[bool]], *, within: timedelta, interval: timedelta = INTERVAL
) -> None:
    """Wait until an asynchronous condition holds; fail when it does not in time."""
    deadline = time.monotonic() + within.total_seconds()
    while not await condition():
        assert time.monotonic() < deadline, f"the condition did not hold within {within}"
        await asyncio.sleep(interval.total_seconds())


def wait_until_sync(condition: Callable[[], bool], *, within: timedelta, interval: timedelta = INTERVAL) -> None:
    """Wait until a condition holds; fail when it does not in time."""
    deadline = time.monotonic() + within.total_seconds()
    while not condition():
        assert time.monotonic() < deadline, f"the condition did not hold within {within}"
        time.sleep(interval.total_seconds())
