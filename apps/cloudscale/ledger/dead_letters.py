"""The ledger's side of replaying and discarding dead letters.

:mod:`cloudscale.ledger.settling` remembers each dead letter in the ``dead`` hash. A replay puts it back in flight and
takes it out of the count; what is discarded stays counted as a dead letter for good. A message that the broker itself
dead-lettered, because it was delivered too often or waited too long, is not in that hash: its events are in flight
until they are replayed, and end as dead letters when they are discarded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from redis.exceptions import RedisError

from cloudscale.cache.records import COUNT_LUA, acceptance_value
from cloudscale.errors import BackendUnavailableError
from cloudscale.ledger.migration import migrate
from cloudscale.ledger.settling import SETTLE_LUA

if TYPE_CHECKING:
    from collections.abc import Sequence

    from redis.asyncio import Redis

    from cloudscale.cache.keys import Keys
    from cloudscale.cache.records import Acceptance

# KEYS: inflight, prefix of the ledger's keys, dead. ARGV: fields and the value to enter each with. Returns how many
# were entered. An hour whose counters have expired is left alone: a new one would say less than nothing.
_REENTER = (
    COUNT_LUA
    + """
local entered = 0
for place = 1, #ARGV, 2 do
  local counter = redis.call('HGET', KEYS[3], ARGV[place])
  if counter then
    local tenant, hour, kind = string.match(counter, '^(.-)\\n(.-)\\n(.*)$')
    if kind ~= 'dead-unnamed' then kind = 'dead' end
    redis.call('HDEL', KEYS[3], ARGV[place])
    if redis.call('EXISTS', KEYS[2] .. hour) == 1 then
      count(KEYS[2], hour, tenant, kind, -1)
    else
      redis.call('HINCRBY', KEYS[2] .. 'totals', kind, -1)
    end
    redis.call('HSET', KEYS[1], ARGV[place], ARGV[place + 1])
    entered = entered + 1
  end
end
return entered
"""
)


class DeadLetterLedger:
    """Changes the ledger for dead letters that a person acts on, so that the pipeline's balance stays right."""

    def __init__(self, redis: Redis, *, keys: Keys) -> None:
        self._redis = redis
        self._keys = keys
        self._reenter = redis.register_script(_REENTER)
        self._settle = redis.register_script(SETTLE_LUA)

    async def reenter(self, acceptances: Sequence[Acceptance]) -> int:
        """Put dead letters that are to be replayed back in flight; how many were not there already.

        They are in flight since their receipt, because they count for that hour.

        Raises:
            BackendUnavailableError: Redis cannot be reached; nothing must be replayed then, or the balance is lost.
        """
        arguments = [
            text
            for each in acceptances
            for text in (each.field, acceptance_value("c" if each.is_named else "u", each.received_at))
        ]
        keys = self._keys
        try:
            await migrate(self._redis, keys)
            return int(await self._reenter(keys=[keys.inflight, keys.ledger, keys.dead], args=arguments))
        except (RedisError, OSError, TimeoutError) as error:
            raise BackendUnavailableError(f"cannot enter {len(acceptances)} dead letters again: {error}") from error

    async def forget_dead(self, acceptances: Sequence[Acceptance]) -> None:
        """Count dead letters that are discarded as such for good.

        Raises:
            BackendUnavailableError: Redis cannot be reached.
        """
        if not acceptances:
            return
        keys = self._keys
        endings = [(each.field, "dead", *each.hour, each.is_named) for each in acceptances]
        try:
            await self._settle(
                keys=[keys.inflight, keys.ledger, keys.dead, keys.unnamed_ended],
                args=[b"[]", msgspec.json.encode(endings)],
            )
            await self._redis.hdel(keys.dead, *(each.field for each in acceptances))
        except (RedisError, OSError, TimeoutError) as error:
            raise BackendUnavailableError(f"cannot forget {len(acceptances)} dead letters: {error}") from error
