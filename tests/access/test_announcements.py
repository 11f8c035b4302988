"""Changes that are told when Redis is there again."""

from __future__ import annotations

from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from redis.exceptions import RedisError
from tests.waiting import wait_until

from cloudscale.access.announcements import MOST_UNTOLD, Announcements
from cloudscale.access.records import Reference
from cloudscale.access.shared_cache import SharedCache
from cloudscale.cache.keys import Keys
from cloudscale.tasks import cancel_and_wait, start_task

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from redis.asyncio import Redis

KEYS = Keys(namespace="default", name="test")
KEY = Reference("key", "AAAAAAAAAAAA")
WITHIN = timedelta(seconds=20)


class Noted(SharedCache):
    """Notes how often it was asked to tell, and of what it told."""

    def __init__(self, redis: Redis) -> None:
        super().__init__(redis, keys=KEYS)
        self.asked = 0
        self.told: list[list[Reference]] = []

    async def changed(self, references: Sequence[Reference]) -> str:
        self.asked += 1
        version = await super().changed(references)
        self.told.append([*references])
        return version


@pytest.fixture
def noted(redis: Redis) -> Noted:
    return Noted(redis)


async def spoil(redis: Redis) -> None:
    """Put something in the version's place that no version can be made of."""
    await redis.rpush(KEYS.access_version, "x")


@asynccontextmanager
async def telling(announcements: Announcements) -> AsyncIterator[None]:
    task = start_task(announcements.tell_later(seconds=0.01), name="announcements")
    try:
        yield
    finally:
        await cancel_and_wait(task)


async def test_a_change_that_redis_was_not_told_of_is_told_later_and_once(noted: Noted, redis: Redis) -> None:
    announcements = Announcements(noted)
    await spoil(redis)
    with pytest.raises(RedisError):
        await announcements.changed([KEY])

    async with telling(announcements):
        await wait_until(lambda: answer(noted.asked > 3), within=WITHIN)
        await redis.delete(KEYS.access_version)
        await wait_until(lambda: answer(bool(noted.told)), within=WITHIN)
        await announcements.changed([Reference("tenant", "acme")])

    assert noted.told == [[KEY], [Reference("tenant", "acme")]]


async def test_what_changes_again_while_it_is_told_is_told_again(redis: Redis) -> None:
    class Meanwhile(Noted):
        async def changed(self, references: Sequence[Reference]) -> str:
            version = await super().changed(references)
            if len(self.told) == 1:
                await spoil_and_change()
            return version

    async def spoil_and_change() -> None:
        await redis.delete(KEYS.access_version)
        await spoil(redis)
        with pytest.raises(RedisError):
            await announcements.changed([KEY])
        await redis.delete(KEYS.access_version)

    noted = Meanwhile(redis)
    announcements = Announcements(noted)
    await announcements.changed([KEY])

    async with telling(announcements):
        await wait_until(lambda: answer(len(noted.told) == 2), within=WITHIN)


async def test_what_waits_for_redis_is_bounded(noted: Noted, redis: Redis) -> None:
    announcements = Announcements(noted)
    many = [Reference("key", f"{number:012}") for number in range(MOST_UNTOLD + 5)]
    await spoil(redis)
    with pytest.raises(RedisError):
        await announcements.changed(many)
    await redis.delete(KEYS.access_version)

    async with telling(announcements):
        await wait_until(lambda: answer(bool(noted.told)), within=WITHIN)

    assert noted.told == [many[5:]]


async def answer(value: bool) -> bool:
    return value
