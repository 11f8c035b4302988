"""Keys that wait for work: each is in one worker's hands at a time, and asking twice while it waits is asking once."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)

WORKERS = 8
BREATH_SECONDS = 0.25
"""Least time between two visits of a key, so that a burst of changes is one visit."""
BEAT_SECONDS = 5.0
"""How often a worker without work shows that it is there."""


class WorkQueue(Generic[Key]):
    """Calls ``visit`` for every key that was added; the seconds it returns are the time until the next visit.

    None as the answer means that there is no next visit until the key is added again. ``visit`` may not raise.
    """

    def __init__(self, visit: Callable[[Key], Awaitable[float | None]]) -> None:
        self._visit = visit
        self._due: dict[Key, float] = {}
        self._visited: dict[Key, float] = {}
        self._active: set[Key] = set()
        self._changed = asyncio.Event()
        self._beat = time.monotonic()

    @property
    def silent_seconds(self) -> float:
        """How long ago a worker was last seen to look for work."""
        return time.monotonic() - self._beat

    def add(self, key: Key) -> None:
        """Visit the key as soon as possible."""
        self._schedule(key, self._visited.get(key, 0.0) + BREATH_SECONDS)

    async def run(self) -> None:
        """Work until cancelled."""
        async with asyncio.TaskGroup() as workers:
            for number in range(WORKERS):
                workers.create_task(self._work(), name=f"reconcile worker {number}")

    def _schedule(self, key: Key, moment: float) -> None:
        self._due[key] = min(moment, self._due.get(key, moment))
        self._changed.set()

    async def _work(self) -> None:
        while True:
            key = await self._next()
            self._visited[key] = time.monotonic()
            delay = await self._visit(key)
            self._active.discard(key)
            if delay is not None:
                self._schedule(key, time.monotonic() + delay)
            elif key not in self._due:
                del self._visited[key]
            self._changed.set()

    async def _next(self) -> Key:
        while True:
            self._beat = time.monotonic()
            # Cleared before looking: what is added from here on wakes this worker, too.
            self._changed.clear()
            waiting = [(moment, key) for key, moment in self._due.items() if key not in self._active]
            remaining = BEAT_SECONDS
            if waiting:
                moment, key = min(waiting, key=lambda item: item[0])
                remaining = moment - time.monotonic()
                if remaining <= 0:
                    del self._due[key]
                    self._active.add(key)
                    return key
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), min(remaining, BEAT_SECONDS))
