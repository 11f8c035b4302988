"""A queue of keys: one worker at a time handles a key, and a key that is added twice while it waits is visited once."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Hashable
from typing import TYPE_CHECKING, Generic, TypeVar

from cloudscale_operator.timing import DEFAULT_TIMING

if TYPE_CHECKING:
    from cloudscale_operator.timing import Timing

Key = TypeVar("Key", bound=Hashable)

WORKERS = 8
DEBOUNCE_SECONDS = 0.25
"""Shortest time between two visits of a key, so that a burst of changes leads to one visit."""


class WorkQueue(Generic[Key]):
    """Calls ``visit`` for every key that was added; the seconds it returns are the time until the next visit.

    None as the answer means that there is no next visit until the key is added again. ``visit`` may not raise.
    """

    def __init__(self, visit: Callable[[Key], Awaitable[float | None]], *, timing: Timing = DEFAULT_TIMING) -> None:
        self._visit = visit
        self._timing = timing
        self._due: dict[Key, float] = {}
        self._visited: dict[Key, float] = {}
        self._active: set[Key] = set()
        self._changed = asyncio.Event()
        self._seen_at = self._timing.monotonic()

    @property
    def silent_seconds(self) -> float:
        """How long ago a worker was last seen to look for work."""
        return self._timing.monotonic() - self._seen_at

    def add(self, key: Key) -> None:
        """Visit the key as soon as possible."""
        self._schedule(key, self._visited.get(key, 0.0) + DEBOUNCE_SECONDS)

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
            self._visited[key] = self._timing.monotonic()
            delay = await self._visit(key)
            self._active.discard(key)
            if delay is not None:
                self._schedule(key, self._timing.monotonic() + delay)
            elif key not in self._due:
                del self._visited[key]
            self._changed.set()

    async def _next(self) -> Key:
        while True:
            self._seen_at = self._timing.monotonic()
            # Cleared before the keys are read: what is added from here on wakes this worker, too.
            self._changed.clear()
            waiting = [(moment, key) for key, moment in self._due.items() if key not in self._active]
            remaining = self._timing.idle_seconds
            if waiting:
                moment, key = min(waiting, key=lambda item: item[0])
                remaining = moment - self._timing.monotonic()
                if remaining <= 0:
                    del self._due[key]
                    self._active.add(key)
                    return key
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), min(remaining, self._timing.idle_seconds))
