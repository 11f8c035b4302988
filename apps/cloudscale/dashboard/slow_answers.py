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
        keep_seconds: how long an answer is given after it was found, before it is looked for anew.
    """

    def __init__(self, keep_seconds: float) -> None:
        self._keep_seconds = keep_seconds
        self._tasks: dict[object, asyncio.Task[Answer]] = {}
        self._found_at: dict[asyncio.Task[Answer] | None, float] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.forget_all()

    async def get(self, key: object, find: Callable[[], Coroutine[Any, Any, Answer]]) -> Answer | None:
        """The answer to the question ``key``, None while it is looked for.

        Raises:
            Exception: what ``find`` has raised; the next call looks again.
        """
        task = self._tasks.get(key)
        if task is None or self._is_old(task):
            self._found_at.pop(task, None)
            task = self._tasks[key] = asyncio.create_task(find(), name=f"look for {key}")
            task.add_done_callback(self._note)
        await asyncio.wait([task], timeout=PATIENCE_SECONDS)
        if not task.done():
            return None
        if task.cancelled():
            # A refresh was requested.
            return None
        if task.exception() is not None and self._tasks.get(key) is task:
            del self._tasks[key], self._found_at[task]
        return task.result()

    async def forget(self, key: object) -> None:
        """Look for the answer anew when it is asked for next, whatever is known or looked for."""
        task = self._tasks.pop(key, None)
        if task is not None:
            await cancel_and_wait(task)
            self._found_at.pop(task, None)

    async def forget_all(self) -> None:
        """The same for every question."""
        for key in list(self._tasks):
            await self.forget(key)

    def _note(self, task: asyncio.Task[Answer]) -> None:
        self._found_at[task] = asyncio.get_running_loop().time()

    def _is_old(self, task: asyncio.Task[Answer]) -> bool:
        found_at = self._found_at.get(task)
        return found_at is not None and asyncio.get_running_loop().time() - found_at > self._keep_seconds
