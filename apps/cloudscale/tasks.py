"""Tasks beside their caller: one that fails says so at once, they end for sure, and several are waited for together."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar, cast

import structlog

if TYPE_CHECKING:
    from collections.abc import Awaitable, Coroutine, Iterable

log = structlog.get_logger(__name__)

Result = TypeVar("Result")

CANCEL_AGAIN_SECONDS = 0.5


def start_task(work: Coroutine[Any, Any, None], *, name: str) -> asyncio.Task[None]:
    """Run ``work`` until its owner, the caller, ends it with :func:`cancel_and_wait`.

    For work that is not awaited while it runs: should it fail, the log has the error at once.
    """
    task = asyncio.create_task(work, name=name)
    task.add_done_callback(_log_failure)
    return task


def _log_failure(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("a background task failed and does not run any more", task=task.get_name(), exc_info=error)


async def cancel_and_wait(*tasks: asyncio.Task[Any]) -> None:
    """Cancel tasks and wait until they have ended; their errors are left to their owner.

    One cancellation may not be enough: until Python 3.12 ``asyncio.wait_for`` swallows one that arrives together with
    its result (https://github.com/python/cpython/issues/86296), and the Service Bus SDK reads each frame through it.
    """
    pending = set(tasks)
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=CANCEL_AGAIN_SECONDS)


async def gather_all(calls: Iterable[Awaitable[Result]]) -> list[Result]:
    """The results of all calls, in their order. It waits for all of them, then raises the first error as it is.

    A task group would cancel the others half-way and wrap the error; ``gather`` would leave them without owner.
    """
    results = await asyncio.gather(*calls, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return cast("list[Result]", results)
