import asyncio

import pytest
from structlog.testing import capture_logs

from cloudscale.tasks import cancel_and_wait, gather_all, start_task


async def test_a_task_that_swallows_one_cancellation_is_cancelled_again() -> None:
    swallowed = 0

    async def stubborn() -> None:
        nonlocal swallowed
        while True:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                swallowed += 1
                if swallowed == 2:
                    raise

    task = asyncio.create_task(stubborn())
    await asyncio.sleep(0)
    await cancel_and_wait(task)
    assert task.cancelled()
    assert swallowed == 2


async def test_tasks_that_have_ended_are_not_waited_for() -> None:
    async def brief() -> int:
        return 7

    task = asyncio.create_task(brief())
    await task
    await cancel_and_wait(task)
    await cancel_and_wait()
    assert task.result() == 7


async def test_a_task_that_fails_says_so_at_once() -> None:
    async def broken() -> None:
        raise ValueError("no such thing")

    with capture_logs() as lines:
        task = start_task(broken(), name="watch")
        await asyncio.wait([task])

    [line] = lines
    assert line["log_level"] == "error"
    assert line["task"] == "watch"
    assert str(line["exc_info"]) == "no such thing"


async def test_a_task_that_is_cancelled_says_nothing() -> None:
    with capture_logs() as lines:
        await cancel_and_wait(start_task(asyncio.sleep(60), name="watch"))

    assert lines == []


async def test_gathering_waits_for_all_calls_before_it_raises_the_first_error() -> None:
    done: list[int] = []

    async def call(number: int) -> int:
        await asyncio.sleep(0)
        if number == 1:
            raise ValueError(number)
        await asyncio.sleep(0.01)
        done.append(number)
        return number

    with pytest.raises(ValueError, match="1"):
        await gather_all(map(call, range(3)))
    assert done == [0, 2]
    assert await gather_all([call(0), call(2)]) == [0, 2]
