"""The queue of keys to visit."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

from tests.waiting import wait_until

from cloudscale_operator.work_queue import WorkQueue

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

WAIT = timedelta(seconds=10)


@asynccontextmanager
async def at_work(visit: Callable[[str], Awaitable[float | None]]) -> AsyncIterator[WorkQueue[str]]:
    queue = WorkQueue(visit)
    task = asyncio.create_task(queue.run())
    try:
        yield queue
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_a_key_that_is_added_many_times_while_it_waits_is_visited_once() -> None:
    visits: Counter[str] = Counter()

    async def visit(key: str) -> None:
        visits[key] += 1

    async with at_work(visit) as queue:
        for _ in range(50):
            queue.add("a")
        queue.add("b")
        await wait_until(lambda: _now(visits["a"] >= 1 and visits["b"] >= 1), within=WAIT)
    assert visits == {"a": 1, "b": 1}


async def test_a_key_is_never_visited_twice_at_a_time_and_never_missed() -> None:
    busy: set[str] = set()
    finished: list[str] = []
    proceed = asyncio.Event()

    async def visit(key: str) -> None:
        assert key not in busy
        busy.add(key)
        await proceed.wait()
        busy.discard(key)
        finished.append(key)

    async with at_work(visit) as queue:
        queue.add("a")
        await wait_until(lambda: _now("a" in busy), within=WAIT)
        queue.add("a")
        proceed.set()
        await wait_until(lambda: _now(len(finished) == 2), within=WAIT)


async def test_a_key_comes_back_after_the_delay_that_its_visit_asked_for() -> None:
    visits: list[str] = []

    async def visit(key: str) -> float | None:
        visits.append(key)
        return 0.01 if len(visits) < 3 else None

    async with at_work(visit) as queue:
        queue.add("a")
        await wait_until(lambda: _now(len(visits) == 3), within=WAIT)


async def test_a_slow_key_does_not_hold_up_the_others() -> None:
    visited: set[str] = set()

    async def visit(key: str) -> None:
        visited.add(key)
        if key == "slow":
            await asyncio.Event().wait()

    async with at_work(visit) as queue:
        queue.add("slow")
        for number in range(20):
            queue.add(str(number))
        await wait_until(lambda: _now(len(visited) == 21), within=WAIT)


async def _now(value: bool) -> bool:
    return value
