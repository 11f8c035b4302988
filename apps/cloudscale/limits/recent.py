"""Remembers what was seen of a subject lately, over all workers, and tells what came before.

The same member counts once, so an event that is processed again changes nothing. Each subject keeps a bounded number of
members and expires. While Redis is away nothing is known, and nothing is suspected.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from redis.exceptions import RedisError

from cloudscale.cache import scripts
from cloudscale.circuit_breaker import CircuitOpenError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import timedelta

    from redis.asyncio import Redis

    from cloudscale.circuit_breaker import CircuitBreaker


class Seen(msgspec.Struct, frozen=True, gc=False):
    """One thing that was seen of a subject. ``milliseconds`` is when, since the epoch."""

    subject: str
    member: str
    milliseconds: float


class _Question(msgspec.Struct, frozen=True, gc=False):
    """What ``recent.lua`` is asked: times and members in turn."""

    window_milliseconds: int
    kept_members: int
    seen: list[str]


class Recent:
    """What was seen of the subjects of one rule.

    Args:
        redis: the client.
        key: builds the key of a subject's set.
        window: how long something is remembered.
        kept: of how many members of one subject at the most.
        breaker: shared with the other users of this Redis, so that each outage is waited for once.
    """

    def __init__(
        self, redis: Redis, *, key: Callable[[str], str], window: timedelta, kept: int, breaker: CircuitBreaker
    ) -> None:
        self._script = scripts.register(redis, "cloudscale.limits", "recent")
        self._key = key
        self._window_milliseconds = int(window.total_seconds() * 1000)
        self._kept = kept
        self._breaker = breaker

    async def before(self, seen: Sequence[Seen]) -> list[list[Seen]]:
        """Remember each, and give what was seen of the same subject in the window before it, the latest first."""
        if not seen:
            return []
        order = sorted(range(len(seen)), key=lambda place: seen[place].milliseconds)
        given: list[str] = []
        for place in order:
            given += (f"{seen[place].milliseconds:.3f}", seen[place].member)
        try:
            self._breaker.before_call()
            answers: list[list[bytes]] = await self._script(
                keys=[self._key(seen[place].subject) for place in order],
                args=[msgspec.json.encode(_Question(self._window_milliseconds, self._kept, given))],
            )
        except CircuitOpenError:
            return [[] for _ in seen]
        except (RedisError, OSError, TimeoutError) as error:
            self._breaker.record_failure(error)
            return [[] for _ in seen]
        self._breaker.record_success()
        found: list[list[Seen]] = [[] for _ in seen]
        for place, answer in zip(order, answers, strict=True):
            mine = seen[place]
            found[place] = [
                Seen(mine.subject, member.decode(), float(time))
                for member, time in zip(answer[::2], answer[1::2], strict=True)
                if member.decode() != mine.member
            ]
        return found
