"""The record of who did what."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cloudscale.cache.keys import Keys
from cloudscale.ledger.audit import Audit, NotRecordedError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from redis.asyncio import Redis

KEYS = Keys(namespace="default", name="shop")


class Deed:
    """Something that is done, or fails, and on the way may take the record's place in Redis away."""

    def __init__(self, redis: Redis, *, fails: bool = False, spoils: bool = False) -> None:
        self._redis = redis
        self._fails = fails
        self._spoils = spoils
        self.times = 0
        self.unrecorded = 0

    async def __call__(self) -> int:
        self.times += 1
        if self._spoils:
            await spoil(self._redis)
        if self._fails:
            raise ValueError("no such key")
        return 7

    def note(self) -> None:
        self.unrecorded += 1


async def spoil(redis: Redis) -> None:
    """Put something in the record's place that no entry can be added to."""
    await redis.set(KEYS.audit, "text")


async def outcomes(audit: Audit) -> list[str]:
    return [entry.outcome for entry in reversed(await audit.newest())]


def around(
    audit: Audit, deed: Callable[[], Awaitable[int]], unrecorded: Callable[[], None] | None = None
) -> Awaitable[int]:
    return audit.around(
        deed,
        who="mia",
        act="revoke key",
        what="key A",
        outcome=lambda done: f"{done} done",
        unrecorded=unrecorded,
    )


async def test_an_act_has_an_entry_before_and_one_after(redis: Redis) -> None:
    audit, deed = Audit(redis, KEYS), Deed(redis)

    assert await around(audit, deed) == 7

    assert await outcomes(audit) == ["asked for", "7 done"]
    assert {(entry.who, entry.act, entry.what) for entry in await audit.newest()} == {("mia", "revoke key", "key A")}


async def test_the_record_says_why_an_act_failed(redis: Redis) -> None:
    audit = Audit(redis, KEYS)

    with pytest.raises(ValueError, match="no such key"):
        await around(audit, Deed(redis, fails=True))

    assert await outcomes(audit) == ["asked for", "failed: no such key"]


async def test_what_cannot_be_recorded_is_not_done(redis: Redis) -> None:
    await spoil(redis)
    deed = Deed(redis)

    with pytest.raises(NotRecordedError, match="nothing was done"):
        await around(Audit(redis, KEYS), deed)

    assert deed.times == 0


async def test_what_must_be_done_is_done_and_it_is_told_that_the_record_does_not_say_so(redis: Redis) -> None:
    await spoil(redis)
    deed = Deed(redis)

    assert await around(Audit(redis, KEYS), deed, deed.note) == 7

    assert (deed.times, deed.unrecorded) == (1, 1)


async def test_one_entry_of_the_two_is_a_record(redis: Redis) -> None:
    audit, deed = Audit(redis, KEYS), Deed(redis, spoils=True)

    assert await around(audit, deed, deed.note) == 7

    assert deed.unrecorded == 0


async def test_what_is_done_stays_done_when_its_outcome_cannot_be_recorded(redis: Redis) -> None:
    assert await around(Audit(redis, KEYS), Deed(redis, spoils=True)) == 7


async def test_what_failed_unrecorded_is_not_said_to_be_done(redis: Redis) -> None:
    await spoil(redis)
    deed = Deed(redis, fails=True)

    with pytest.raises(ValueError, match="no such key"):
        await around(Audit(redis, KEYS), deed, deed.note)

    assert deed.unrecorded == 0
