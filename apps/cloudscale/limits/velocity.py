"""Counts how many requests each sender made in a sliding window, over all workers.

A sorted set for each sender has names of requests as members and their times as scores, so a request whose events come
in several messages, or are processed again, counts once. An event counts in the window that ends with it, and so does
the event that arrives late. The sets are bounded: from a sender that floods only the newest members are kept, and an
event older than all that is kept is part of the flood. Counts stop there: in a flood it is enough to know that it is
one.
"""

from __future__ import annotations

from collections import OrderedDict
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

KEPT_MEMBERS = 1000
FALLBACK_SENDERS = 10_000


class VelocityEvent(msgspec.Struct, frozen=True, gc=False):
    """An event as the velocity check sees it. ``milliseconds`` is its time since the epoch."""

    sender: str
    request: str
    milliseconds: float


class _Question(msgspec.Struct, frozen=True, gc=False):
    """What ``velocity.lua`` is asked: for each sender its requests, as times and names in turn, and all the times."""

    window_milliseconds: int
    kept_members: int
    senders: list[tuple[list[str], list[str]]]


class VelocityWindows:
    """The windows of all senders, kept in Redis and, while that is away, in this process.

    Args:
        redis: the client.
        key: builds the key of a sender's set.
        window: length of the window.
        breaker: shared with the other users of this Redis, so that each outage is waited for once.
    """

    def __init__(self, redis: Redis, *, key: Callable[[str], str], window: timedelta, breaker: CircuitBreaker) -> None:
        self._script = scripts.register(redis, "cloudscale.limits", "velocity")
        self._key = key
        self._window_milliseconds = int(window.total_seconds() * 1000)
        self._breaker = breaker
        self._local = LocalWindows(self._window_milliseconds)

    async def count(self, velocity_events: Sequence[VelocityEvent]) -> list[int]:
        """For each event, how many requests its sender made in the window that ends with it, its own included.

        While Redis is away the windows of this process answer: they see only the events of this worker, which finds
        fewer suspicious events rather than holding up all.
        """
        if not velocity_events:
            return []
        order = sorted(range(len(velocity_events)), key=lambda place: velocity_events[place].milliseconds)
        by_sender: dict[str, list[int]] = {}
        for place in order:
            by_sender.setdefault(velocity_events[place].sender, []).append(place)
        senders = [_window_of([velocity_events[place] for place in places]) for places in by_sender.values()]
        try:
            self._breaker.before_call()
            found: list[int] = await self._script(
                keys=[self._key(sender) for sender in by_sender],
                args=[msgspec.json.encode(_Question(self._window_milliseconds, KEPT_MEMBERS, senders))],
            )
        except CircuitOpenError:
            return self._local.count(velocity_events, order)
        except (RedisError, OSError, TimeoutError) as error:
            self._breaker.record_failure(error)
            return self._local.count(velocity_events, order)
        self._breaker.record_success()
        counts = [0] * len(velocity_events)
        for count, place in zip(found, (place for places in by_sender.values() for place in places), strict=True):
            counts[place] = count
        return counts


def _window_of(velocity_events: Sequence[VelocityEvent]) -> tuple[list[str], list[str]]:
    """What the script is told of one sender: its requests by their first times, and all the times."""
    first = {velocity_event.request: velocity_event.milliseconds for velocity_event in reversed(velocity_events)}
    requests = []
    for name, milliseconds in reversed(first.items()):
        requests += [f"{milliseconds:.3f}", name]
    return requests, [f"{velocity_event.milliseconds:.3f}" for velocity_event in velocity_events]


class LocalWindows:
    """The same windows in this process, for the senders seen last."""

    def __init__(self, window_milliseconds: int) -> None:
        self._window_milliseconds = window_milliseconds
        self._requests: OrderedDict[str, OrderedDict[str, float]] = OrderedDict()

    def count(self, velocity_events: Sequence[VelocityEvent], order: Sequence[int]) -> list[int]:
        """Count ``velocity_events``, taken in ``order``."""
        counts = [0] * len(velocity_events)
        for place in order:
            velocity_event = velocity_events[place]
            requests = self._requests.setdefault(velocity_event.sender, OrderedDict())
            self._requests.move_to_end(velocity_event.sender)
            requests.setdefault(velocity_event.request, velocity_event.milliseconds)
            while len(requests) > KEPT_MEMBERS or (
                next(iter(requests.values())) <= velocity_event.milliseconds - self._window_milliseconds
            ):
                requests.popitem(last=False)
            counts[place] = max(len(requests), 1)
        while len(self._requests) > FALLBACK_SENDERS:
            self._requests.popitem(last=False)
        return counts
