import asyncio

from cloudscale.cancellation import cancel_and_wait


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
