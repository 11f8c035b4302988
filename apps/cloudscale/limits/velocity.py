"""Counts how many events each client address sent in a sliding window, over all workers.

A sorted set for each address has the event ids as members and the times of receipt as scores, so an event that is
processed again is not counted again. An event is judged by the window that ends with it, and so is the event that
arrives late. The sets are bounded: from an address that floods only the newest members are kept, and an event older
than all that is kept is part of the flood. Counts stop there: in a flood it is enough to know that it is one.
"""

from __future__ import annotations

from collections import OrderedDict, deque
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
FALLBACK_ADDRESSES = 10_000


class VelocityEvent(msgspec.Struct, frozen=True, gc=False):
    """An event as the velocity check sees it. ``milliseconds`` is its time of receipt since the epoch."""

    address: str
    event_id: str
    milliseconds: float


class _Question(msgspec.Struct, frozen=True, gc=False):
    """What ``velocity.lua`` is asked: for each address the times and ids of its events, one after the other."""

    window_milliseconds: int
    kept_members: int
    events: list[list[str]]


class VelocityWindows:
    """The windows of all client addresses, kept in Redis and, while that is away, in this process.

    Args:
        redis: the client.
        key: builds the key of an address's set.
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
        """For each event, how many its address sent in the window that ends with it, itself included.

        While Redis is away the windows of this process answer: they see only the events of this worker, which finds
        fewer suspicious events rather than holding up all.
        """
        if not velocity_events:
            return []
        order = sorted(range(len(velocity_events)), key=lambda place: velocity_events[place].milliseconds)
        by_address: dict[str, list[int]] = {}
        for place in order:
            by_address.setdefault(velocity_events[place].address, []).append(place)
        events: list[list[str]] = []
        for places in by_address.values():
            events.append([])
            for place in places:
                events[-1] += (f"{velocity_events[place].milliseconds:.3f}", velocity_events[place].event_id)
        try:
            self._breaker.before_call()
            found: list[int] = await self._script(
                keys=[self._key(address) for address in by_address],
                args=[msgspec.json.encode(_Question(self._window_milliseconds, KEPT_MEMBERS, events))],
            )
        except CircuitOpenError:
            return self._local.count(velocity_events, order)
        except (RedisError, OSError, TimeoutError) as error:
            self._breaker.record_failure(error)
            return self._local.count(velocity_events, order)
        self._breaker.record_success()
        counts = [0] * len(velocity_events)
        for count, place in zip(found, (place for places in by_address.values() for place in places), strict=True):
            counts[place] = count
        return counts


class LocalWindows:
    """The same windows in this process, for the addresses seen last."""

    def __init__(self, window_milliseconds: int) -> None:
        self._window_milliseconds = window_milliseconds
        self._times: OrderedDict[str, deque[float]] = OrderedDict()

    def count(self, velocity_events: Sequence[VelocityEvent], order: Sequence[int]) -> list[int]:
        """Count ``velocity_events``, taken in ``order``."""
        counts = [0] * len(velocity_events)
        for place in order:
            velocity_event = velocity_events[place]
            times = self._times.setdefault(velocity_event.address, deque(maxlen=KEPT_MEMBERS))
            self._times.move_to_end(velocity_event.address)
            times.append(velocity_event.milliseconds)
            while times[0] <= velocity_event.milliseconds - self._window_milliseconds:
                times.popleft()
            counts[place] = len(times)
        while len(self._times) > FALLBACK_ADDRESSES:
            self._times.popitem(last=False)
        return counts
