"""Ends background tasks for sure."""

from __future__ import annotations

import asyncio
from typing import Any

AGAIN_SECONDS = 0.5


async def cancel_and_wait(*tasks: asyncio.Task[Any]) -> None:
    """Cancel tasks and wait until they have ended; their errors are left to their owner.

    One cancellation may not be enough: until Python 3.12 ``asyncio.wait_for`` swallows one that arrives together with
    its result (https://github.com/python/cpython/issues/86296), and the Service Bus SDK reads each frame through it.
    """
    pending = set(tasks)
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=AGAIN_SECONDS)
