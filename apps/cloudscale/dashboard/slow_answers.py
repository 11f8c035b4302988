"""Answers that take longer to find than a request should last: tasks find them, and requests come again for them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Generic, TypeVar

from cloudscale.tasks import cancel_and_wait

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from types import TracebackType
    from typing import Any, Self

Answer = TypeVar("Answer")

PATIENCE_SECONDS = 0.25
"""How long a request waits for an answer that is looked for: most are found by then."""


class SlowAnswers(Generic[Answer]):
    """The answers to some questions, each found by one task at a time, as an async context manager.

    Args:
        keep_seconds: how long an answer is given before it is looked for anew, counted from when it was asked for.
    """

    def __init__(self, keep_seconds: float) -> None:
        self._keep_seconds = keep_seconds
        self._tasks: dict[object, tuple[float, asyncio.Task[Answer]]] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for key in list(self._tasks):
            await self.forget(key)

    async def get(self, key: object, find: Callable[[], Coroutine[Any, Any, Answer]]) -> Answer | None:
        """The answer to the question ``key``, None while it is looked for.

        Raises:
            Exception: what ``find`` has raised; the next call looks again.
        """
        now = asyncio.get_running_loop().time()
        asked_at, task = self._tasks.get(key, (now, None))
        if task is not None and task.done() and now - asked_at > self._keep_seconds:
            task = None
        if task is None:
            task = asyncio.create_task(find(), name=f"look for {key}")
            self._tasks[key] = now, task
        await asyncio.wait([task], timeout=PATIENCE_SECONDS)
        if not task.done():
            return None
        if task.cancelled():
            # A refresh was requested.
            return None
        if task.exception() is not None:
            self._tasks.pop(key, None)
        return task.result()

    async def forget(self, key: object) -> None:
        """Look for the answer anew when it is asked for next, whatever is known or looked for."""
        _, task = self._tasks.pop(key, (0.0, None))
        if task is not None:
            await cancel_and_wait(task)
