from __future__ import annotations

import asyncio

import pytest

from cloudscale.dashboard.slow_answers import SlowAnswers


class Question:
    """Something that is looked for until the test lets it be found."""

    def __init__(self) -> None:
        self.asked = 0
        self.cancelled = 0
        self.found = asyncio.Event()

    async def find(self) -> int:
        self.asked += 1
        number = self.asked
        try:
            await self.found.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        return number


async def test_an_answer_that_is_looked_for_is_given_when_it_is_found() -> None:
    question = Question()
    async with SlowAnswers[int](60) as answers:
        assert await answers.get("key", question.find) is None
        assert await answers.get("key", question.find) is None
        question.found.set()
        assert await answers.get("key", question.find) == 1
    assert question.asked == 1


async def test_an_answer_that_took_longer_to_find_than_it_is_kept_is_given() -> None:
    question = Question()
    async with SlowAnswers[int](0.1) as answers:
        assert await answers.get("key", question.find) is None
        question.found.set()
        assert await answers.get("key", question.find) == 1


async def test_an_old_answer_is_looked_for_again() -> None:
    question = Question()
    question.found.set()
    async with SlowAnswers[int](0) as answers:
        assert await answers.get("key", question.find) == 1
        assert await answers.get("key", question.find) == 2


async def test_what_is_forgotten_is_looked_for_anew() -> None:
    question = Question()
    async with SlowAnswers[int](60) as answers:
        await answers.get("key", question.find)
        await answers.forget("key")
        question.found.set()
        assert await answers.get("key", question.find) == 2
    assert question.cancelled == 1


async def test_an_error_is_raised_once_and_then_looked_for_again() -> None:
    async def fail() -> int:
        raise OSError("away")

    question = Question()
    question.found.set()
    async with SlowAnswers[int](60) as answers:
        with pytest.raises(OSError, match="away"):
            await answers.get("key", fail)
        assert await answers.get("key", question.find) == 1


async def test_nothing_is_looked_for_after_the_end() -> None:
    question = Question()
    async with SlowAnswers[int](60) as answers:
        await answers.get("key", question.find)
    assert question.cancelled == 1
