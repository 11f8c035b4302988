"""The ledger's side of replaying and discarding dead letters.

:mod:`cloudscale.ledger.settling` remembers each dead letter in the ``dead`` hash. A replay puts it back in flight and
takes it out of the count; what is discarded stays counted as a dead letter for good.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from redis.exceptions import RedisError

from cloudscale.errors import BackendUnavailableError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from redis.asyncio import Redis

    from cloudscale.cache.keys import Keys

# KEYS: inflight, deadletters, dead. ARGV: fields and the value to enter each with. Returns how many were entered.
_REENTER = """
local entered = 0
for place = 1, #ARGV, 2 do
  local counter = redis.call('HGET', KEYS[3], ARGV[place])
  if counter then
    redis.call('HDEL', KEYS[3], ARGV[place])
    redis.call('HINCRBY', KEYS[2], counter, -1)
    redis.call('HSET', KEYS[1], ARGV[place], ARGV[place + 1])
    entered = entered + 1
  end
end
return entered
"""

Acceptance = tuple[str, str, str]
"""Tenant id, event id and acceptance token of an accepted event."""


class DeadLetterLedger:
    """Changes the ledger for dead letters that a person acts on, so that the pipeline's balance stays right."""

    def __init__(self, redis: Redis, *, keys: Keys) -> None:
        self._redis = redis
        self._keys = keys
        self._reenter = redis.register_script(_REENTER)

    async def reenter(self, acceptances: Sequence[Acceptance]) -> int:
        """Put dead letters that are to be replayed back in flight; how many were not there already.

        Raises:
            BackendUnavailableError: Redis cannot be reached; nothing must be replayed then, or the balance is lost.
        """
        value = f"c{int(time.time() * 1000)}"
        arguments = [text for acceptance in acceptances for text in ("\n".join(acceptance), value)]
        keys = [self._keys.inflight, self._keys.dead_letters, self._keys.dead]
        try:
            return int(await self._reenter(keys=keys, args=arguments))
        except (RedisError, OSError, TimeoutError) as error:
            raise BackendUnavailableError(f"cannot enter {len(acceptances)} dead letters again: {error}") from error

    async def forget_dead(self, acceptances: Sequence[Acceptance]) -> None:
        """Forget dead letters that are discarded: they stay counted as dead letters for good.

        Raises:
            BackendUnavailableError: Redis cannot be reached.
        """
        if not acceptances:
            return
        try:
            await self._redis.hdel(self._keys.dead, *map("\n".join, acceptances))
        except (RedisError, OSError, TimeoutError) as error:
            raise BackendUnavailableError(f"cannot forget {len(acceptances)} dead letters: {error}") from error
