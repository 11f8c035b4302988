"""What was refused, in Redis: counts for each tenant, client, field and reason, and the newest sample of some.

Anybody can have requests refused, so nothing here grows with what is sent: an hour has at most ``GROUPS_AN_HOUR``
groups and ``SAMPLES_AN_HOUR`` samples, each of bounded length, and is forgotten after a day. What finds no place is
counted by status and reason alone.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import msgspec

from cloudscale.cache import scripts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from redis.asyncio import Redis

HOURS_KEPT = 24
HOUR_SECONDS = 3600
GROUPS_AN_HOUR = 500
SAMPLES_AN_HOUR = 100
SAMPLE_CHARACTERS = 500
DETAIL_CHARACTERS = 300
FIELD_CHARACTERS = 100
GROUPS_A_CALL = 100
"""One call of the script must not keep Redis from others for long."""


class Group(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What refusals have in common. Text is empty where it is not known.

    Without ``client`` it is the group of those that found no place: refusals always have one.
    """

    status: int
    reason: str
    tenant_id: str = ""
    """As the event has it: nothing proves that the sender belongs to this tenant."""
    client: str = ""
    field: str = ""

    @property
    def others(self) -> Group:
        """The group of this status and reason for which there is no place."""
        return Group(self.status, self.reason)


class Sample(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """One refusal of a group."""

    at: float
    """Epoch seconds."""
    detail: str
    correlation_id: str
    content: str
    """The beginning of what was sent; empty where it was not read."""


class Refused(msgspec.Struct, gc=False):
    """How many refusals of a group there were, and the newest of them that are known."""

    count: int = 0
    latest_hour: int = 0
    """Hours since the epoch."""
    samples: list[Sample] = []


_group = msgspec.json.Decoder(Group)
_sample = msgspec.json.Decoder(Sample)
_encode = msgspec.json.Encoder().encode


class RefusalStore:
    """The refusals of one pipeline. ``key_prefix`` ends in a colon."""

    def __init__(self, redis: Redis, *, key_prefix: str) -> None:
        self._redis = redis
        self._prefix = key_prefix
        self._count = scripts.register(redis, "cloudscale.telemetry", "refuse")

    async def add(self, counted: Sequence[tuple[Group, int, Sample | None]]) -> None:
        """Count refusals in this hour, of ``GROUPS_A_CALL`` groups at the most.

        Raises:
            redis.exceptions.RedisError: Redis did not say that it took them.
        """
        keys = self._keys(int(time.time() // HOUR_SECONDS))
        arguments: list[int | bytes] = [GROUPS_AN_HOUR, SAMPLES_AN_HOUR, (HOURS_KEPT + 1) * HOUR_SECONDS]
        for group, number, sample in counted:
            arguments += [_encode(group), number, _encode(sample) if sample else b"", _encode(group.others)]
        await self._count(keys=keys, args=arguments)

    async def read(self, *, hours: int) -> dict[Group, Refused]:
        """The refusals of this hour and of the ``hours`` - 1 before it.

        Raises:
            redis.exceptions.RedisError: Redis did not answer.
        """
        latest = int(time.time() // HOUR_SECONDS)
        asked = range(latest, latest - hours, -1)
        async with self._redis.pipeline(transaction=False) as together:
            for hour in asked:
                for key in self._keys(hour):
                    together.hgetall(key)
            answers = await together.execute()
        found: dict[Group, Refused] = {}
        for hour, counts, samples in zip(asked, answers[::2], answers[1::2], strict=True):
            for name, count in counts.items():
                refused = found.setdefault(_group.decode(name), Refused(latest_hour=hour))
                refused.count += int(count)
                if name in samples:
                    refused.samples = [*refused.samples, _sample.decode(samples[name])]
        return found

    def _keys(self, hour: int) -> tuple[str, str]:
        return f"{self._prefix}{hour}", f"{self._prefix}{hour}:samples"
