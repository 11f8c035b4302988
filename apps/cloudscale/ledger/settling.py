"""The ledger of accepted events: each acceptance is settled exactly once, as stored, duplicate or dead letter.

Ingestion enters an acceptance in the ``inflight`` hash; here it is taken out, and only the call that really took it out
counts it, so a message that is delivered again changes nothing. What stays in the hash is neither stored nor
dead-lettered: that is what ``verify`` looks for. What was accepted while Redis was away may not be in the hash: that
it ended as a duplicate or a dead letter is remembered for a day, and counted by the call that notes it first.

A dead letter is remembered until it is replayed or discarded (see :mod:`cloudscale.ledger.dead_letters`), so that
a replay is entered again exactly once.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Literal

import msgspec
from redis.exceptions import RedisError

from cloudscale.circuit_breaker import CircuitOpenError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from redis.asyncio import Redis

    from cloudscale.cache.keys import Keys
    from cloudscale.circuit_breaker import CircuitBreaker

WAITING_SETTLEMENTS = 200_000
"""Settlements kept while Redis is away; the oldest are given up beyond this, and ``verify`` asks the store for them."""

CHUNK = 1000
"""Waiting settlements that are sent at once when Redis is back."""

# KEYS: inflight, duplicates, deadletters, dead, prefix of sets of unnamed ones that ended. ARGV, as JSON (one argument
# is cheaper to send than thousands): fields of acceptances that are stored, and for each other one its field, its kind,
# a counter's field, and its hour if the ledger may not name it, otherwise "". Returns 1 for each of the others that
# ended just now.
_SETTLE = """
local stored = cjson.decode(ARGV[1])
for start = 1, #stored, 4000 do
  redis.call('HDEL', KEYS[1], unpack(stored, start, math.min(start + 3999, #stored)))
end
local settled = {}
for _, other in ipairs(cjson.decode(ARGV[2])) do
  local field, kind, counter, unnamed_hour = other[1], other[2], other[3], other[4]
  local removed = redis.call('HDEL', KEYS[1], field)
  if unnamed_hour ~= '' and kind ~= 'redelivered' then
    local ended = KEYS[5] .. unnamed_hour
    local is_first = redis.call('SADD', ended, field)
    redis.call('PEXPIRE', ended, 86400000)
    if removed == 0 then removed = is_first end
  end
  settled[#settled + 1] = removed
  if removed == 1 and kind == 'duplicate' then redis.call('HINCRBY', KEYS[2], counter, 1) end
  if removed == 1 and kind == 'dead' then
    redis.call('HINCRBY', KEYS[3], counter, 1)
    redis.call('HSET', KEYS[4], field, counter)
  end
end
return settled
"""


class Settlement(msgspec.Struct, frozen=True, gc=False):
    """How one acceptance ended.

    ``hour`` is ``yyyy-MM-ddTHH`` of its receipt, ``reason`` that of a dead letter. ``stored`` is what this process just
    created; ``redelivered`` was stored before and may or may not be settled already. ``is_named`` is false for what was
    accepted while Redis was away.
    """

    tenant_id: str
    event_id: str
    acceptance: str
    hour: str
    kind: Literal["stored", "redelivered", "duplicate", "dead"] = "stored"
    reason: str = ""
    is_named: bool = True

    @property
    def field(self) -> str:
        """The acceptance's field in the ``inflight`` hash."""
        return f"{self.tenant_id}\n{self.event_id}\n{self.acceptance}"

    @property
    def counter(self) -> str:
        """The field of the hash that counts settlements of this kind."""
        return f"{self.tenant_id}\n{self.hour}" + (f"\n{self.reason}" if self.kind == "dead" else "")


class Ledger:
    """Settles acceptances in Redis; while that is away settlements wait in this process."""

    def __init__(self, redis: Redis, *, keys: Keys, breaker: CircuitBreaker) -> None:
        self._redis = redis
        self._keys = keys
        self._breaker = breaker
        self._settle = redis.register_script(_SETTLE)
        self._waiting: deque[Settlement] = deque(maxlen=WAITING_SETTLEMENTS)

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
        """Settle what waits for Redis, if that is back; to be called every now and then."""
        try:
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
        stored = [settlement.field for settlement in settlements if settlement.kind == "stored"]
        others = [
            (settlement.field, settlement.kind, settlement.counter, "" if settlement.is_named else settlement.hour)
            for settlement in settlements
            if settlement.kind != "stored"
        ]
        keys = self._keys
        removed = iter(
            await self._settle(
                keys=[keys.inflight, keys.duplicates, keys.dead_letters, keys.dead, keys.unnamed_ended],
                args=[msgspec.json.encode(stored), msgspec.json.encode(others)],
            )
        )
        return [settlement.kind == "stored" or bool(next(removed)) for settlement in settlements]
