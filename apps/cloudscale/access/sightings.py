"""When devices sent, and how far their clocks are from ours: a short hash in Redis for each device.

Only a device's own key makes an entry, so there are at most as many as registered devices, and each is forgotten when
its device has been silent for :data:`KEPT`.

The difference of an event is ``receivedAt`` less ``createdAt``, what our clock shows less what the device's showed. It
holds the way of the event as well, and the time that a device without a connection kept it; both only make it greater.
So the smallest difference of late is nearest to what the clock is off by (as NTP takes the sample with the smallest
delay: RFC 5905, section 10). It is kept for the span of :data:`SPAN` that runs, and for the one before it, so that a
clock which is put right is soon known as right.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from cloudscale.cache import scripts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from redis.asyncio import Redis

    from cloudscale.cache.keys import Keys

KEPT: Final = timedelta(days=90)
SPAN: Final = timedelta(minutes=15)
DEVICES_A_CALL: Final = 250
"""One call of the script must not keep Redis from others for long."""


class DeviceName(NamedTuple):
    """What names a device among those of all tenants."""

    tenant_id: str
    device_id: str


class Sighting(NamedTuple):
    """What one process has noticed of a device. Times are milliseconds since the epoch."""

    first: int
    last: int
    difference: int | None
    """Of the last event that says when it happened, in milliseconds."""


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a device that has sent."""

    first: datetime
    last: datetime
    skew_seconds: float | None = None
    """What its clock is behind ours, negative when it is ahead; None where no event has said when it happened."""
    difference_seconds: float | None = None
    """The last difference that was measured: the skew, and how late the event came."""


class Sightings:
    """The sightings of one pipeline's devices. Every method raises ``RedisError`` where Redis does not answer."""

    def __init__(self, redis: Redis, *, keys: Keys) -> None:
        self._redis = redis
        self._prefix = keys.devices
        self._new = keys.new_devices
        self._sight = scripts.register(redis, "cloudscale.access", "sight")

    async def add(self, noticed: Sequence[tuple[DeviceName, Sighting]]) -> None:
        """Write down what was noticed of at most :data:`DEVICES_A_CALL` devices; one may come several times."""
        arguments: list[str | int] = [round(KEPT.total_seconds()), SPAN // timedelta(milliseconds=1)]
        for name, sighting in noticed:
            difference = "" if sighting.difference is None else sighting.difference
            arguments += [":".join(name), sighting.first, sighting.last, difference]
        await self._sight(keys=[self._new, *(self._key(name) for name, _ in noticed)], args=arguments)

    async def find(self, names: Sequence[DeviceName]) -> dict[DeviceName, Seen]:
        """What is known of those devices that have sent."""
        async with self._redis.pipeline(transaction=False) as together:
            for name in names:
                together.hmget(self._key(name), "first", "last", "least", "before", "difference")
            answers = await together.execute()
        return {
            name: _seen([None if value is None else int(value) for value in answer])
            for name, answer in zip(names, answers, strict=True)
            if answer[0] is not None
        }

    async def new(self, *, limit: int) -> dict[DeviceName, datetime]:
        """At most ``limit`` devices that have sent for the first time, and when, until :meth:`forget_new` is told."""
        rows: list[Any] = await self._redis.zrange(self._new, 0, limit - 1, withscores=True)
        return {_name(_text(name)): _moment(score) for name, score in rows}

    async def forget_new(self, names: Sequence[DeviceName]) -> None:
        """Take devices off the list of :meth:`new`."""
        if names:
            await self._redis.zrem(self._new, *map(":".join, names))

    def _key(self, name: DeviceName) -> str:
        return f"{self._prefix}{':'.join(name)}"


def _seen(values: Sequence[int | None]) -> Seen:
    first, last, least, before, difference = values
    differences = [each for each in (least, before) if each is not None]
    return Seen(
        first=_moment(first or 0),
        last=_moment(last or 0),
        skew_seconds=min(differences) / 1000 if differences else None,
        difference_seconds=None if difference is None else difference / 1000,
    )


def _moment(milliseconds: float) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


def _name(text: str) -> DeviceName:
    # No tenant's id has a colon.
    tenant_id, _, device_id = text.partition(":")
    return DeviceName(tenant_id, device_id)


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
