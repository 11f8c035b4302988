"""Answers of slow questions, kept for a while."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

Answer = TypeVar("Answer")


class TtlCache:
    """Answers of slow questions, kept for a while, each question asked once at a time."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._answers: dict[object, tuple[float, object]] = {}
        self._locks: dict[object, asyncio.Lock] = {}

    async def get(self, key: object, ask: Callable[[], Awaitable[Answer]]) -> Answer:
        """The answer to the question ``key``, asked again when it is older than the time."""
        asked_at = asyncio.get_running_loop().time()
        async with self._locks.setdefault(key, asyncio.Lock()):
            known = self._answers.get(key)
            if known is None or known[0] < asked_at - self._seconds:
                known = (asyncio.get_running_loop().time(), await ask())
                self._answers[key] = known
        answer: Answer = known[1]  # type: ignore[assignment]
        return answer
