"""The ledger of accepted events: each acceptance is settled exactly once, as stored, duplicate or dead letter.

Ingestion enters an acceptance in the ``inflight`` hash; here it is taken out, and only the call that really took it out
counts it, so a message that is delivered again changes nothing. What stays in the hash is neither stored nor
dead-lettered: that is what ``verify`` looks for. What was accepted while Redis was away is entered once that is back,
perhaps after it has ended: so its end is remembered for a day, which keeps it from being entered or counted afterwards.

A dead letter is remembered until it is replayed or discarded (see :mod:`cloudscale.ledger.dead_letters`), so that
a replay is entered again exactly once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import msgspec
from redis.exceptions import RedisError

from cloudscale.cache import scripts
from cloudscale.cache.records import acceptance_field
from cloudscale.circuit_breaker import CircuitOpenError
from cloudscale.ledger.migration import migrate

if TYPE_CHECKING:
    from redis.asyncio import Redis
    from redis.commands.core import AsyncScript

    from cloudscale.cache.keys import Keys
    from cloudscale.circuit_breaker import CircuitBreaker

WAITING_SETTLEMENTS = 200_000
"""Settlements kept while Redis is away; the oldest are given up beyond this, and ``verify`` asks the store for them."""

CHUNK = 1000
"""Waiting settlements that are sent at once when Redis is back."""


class Settlement(msgspec.Struct, frozen=True, gc=False):
    """How one acceptance ended.

    ``hour`` is ``yyyy-MM-ddTHH`` of its receipt. ``stored`` is what this process just created; ``redelivered`` was
    stored before and may or may not be settled already. ``is_named`` is false for what was accepted while Redis was
    away.
    """

    tenant_id: str
    event_id: str
    acceptance: str
    hour: str
    kind: Literal["stored", "redelivered", "duplicate", "dead"] = "stored"
    is_named: bool = True

    @property
    def field(self) -> str:
        """The acceptance's field in the ``inflight`` hash."""
        return acceptance_field(self.tenant_id, self.event_id, self.acceptance)


class Ended(msgspec.Struct, frozen=True, gc=False):
    """An acceptance that ended in another way than as stored just now, as ``settle.lua`` reads it."""

    field: str
    kind: str
    tenant_id: str
    hour: str
    is_named: bool


class Endings(msgspec.Struct, frozen=True, gc=False):
    """What one call of ``settle.lua`` settles. ``stored`` has fields of the ``inflight`` hash."""

    stored: Sequence[str] = ()
    others: Sequence[Ended] = ()


def settle_script(redis: Redis) -> AsyncScript:
    """The script that settles :class:`Endings`."""
    return scripts.register(redis, "cloudscale.ledger", "settle", counts=True)


def settle_keys(keys: Keys) -> list[str]:
    """The keys that the script needs, in its order."""
    return [keys.inflight, keys.ledger, keys.dead, keys.unnamed_ended]


class Ledger:
    """Settles acceptances in Redis; while that is away settlements wait in this process."""

    def __init__(self, redis: Redis, *, keys: Keys, breaker: CircuitBreaker) -> None:
        self._redis = redis
        self._keys = keys
        self._breaker = breaker
        self._settle = settle_script(redis)
        self._waiting: deque[Settlement] = deque(maxlen=WAITING_SETTLEMENTS)
        self._is_migrated = False

    @property
    def waiting(self) -> int:
        """Settlements that wait for Redis."""
        return len(self._waiting)

    async def settle(self, settlements: Sequence[Settlement]) -> list[bool]:
        """Settle acceptances; for each whether this call settled it, rather than an earlier one.

        An acceptance that has to wait for Redis counts as settled by this call.
        """
        try:
            self._breaker.before_call()
            settled = await self._apply(settlements)
        except CircuitOpenError:
            self._waiting.extend(settlements)
            return [True] * len(settlements)
        except (RedisError, OSError, TimeoutError) as error:
            self._breaker.record_failure(error)
            self._waiting.extend(settlements)
            return [True] * len(settlements)
        self._breaker.record_success()
        return settled

    async def flush(self) -> None:
        """Settle what waits for Redis, if that is back; to be called every now and then.

        The first time it moves the counters of an earlier version as well.
        """
        try:
            if not self._is_migrated:
                self._breaker.before_call()
                await migrate(self._redis, self._keys)
                self._is_migrated = True
                self._breaker.record_success()
            while self._waiting:
                self._breaker.before_call()
                batch = [self._waiting[place] for place in range(min(CHUNK, len(self._waiting)))]
                await self._apply(batch)
                for _ in batch:
                    self._waiting.popleft()
                self._breaker.record_success()
        except CircuitOpenError:
            return
        except (RedisError, OSError, TimeoutError) as error:
            self._breaker.record_failure(error)

    async def _apply(self, settlements: Sequence[Settlement]) -> list[bool]:
        """Settle in one call; settling the same twice is harmless, so a lost answer is."""
        if not settlements:
            return []
        plain = [each.kind == "stored" and each.is_named for each in settlements]
        stored = [each.field for each, is_plain in zip(settlements, plain, strict=True) if is_plain]
        others = [
            Ended(each.field, each.kind, each.tenant_id, each.hour, each.is_named)
            for each, is_plain in zip(settlements, plain, strict=True)
            if not is_plain
        ]
        argument = msgspec.json.encode(Endings(stored, others))
        removed = iter(await self._settle(keys=settle_keys(self._keys), args=[argument]))
        ended = [is_plain or bool(next(removed)) for is_plain in plain]
        # What is stored was created by this process just now, whatever the ledger knew of it.
        return [each.kind == "stored" or has_ended for each, has_ended in zip(settlements, ended, strict=True)]
