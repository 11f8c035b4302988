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

from cloudscale.cache import scripts
from cloudscale.cache.records import acceptance_value
from cloudscale.errors import BackendUnavailableError
from cloudscale.ledger.migration import migrate
from cloudscale.ledger.settling import Ended, Endings, settle_keys, settle_script

if TYPE_CHECKING:
    from collections.abc import Sequence

    from redis.asyncio import Redis

    from cloudscale.cache.keys import Keys
    from cloudscale.cache.records import Acceptance


class DeadLetterLedger:
    """Changes the ledger for dead letters that a person acts on, so that the pipeline's balance stays right."""

    def __init__(self, redis: Redis, *, keys: Keys) -> None:
        self._redis = redis
        self._keys = keys
        self._reenter = scripts.register(redis, "cloudscale.ledger", "reenter", counts=True)
        self._settle = settle_script(redis)

    async def reenter(self, acceptances: Sequence[Acceptance]) -> int:
        """Put dead letters that are to be replayed back in flight; how many were not there already.

        They are in flight since their receipt, because they count for that hour.

        Raises:
            BackendUnavailableError: Redis cannot be reached; nothing must be replayed then, or the balance is lost.
        """
        entries = [
            {"field": each.field, "value": acceptance_value("c" if each.is_named else "u", each.received_at)}
            for each in acceptances
        ]
        keys = self._keys
        try:
            await migrate(self._redis, keys)
            argument = msgspec.json.encode(entries)
            return int(await self._reenter(keys=[keys.inflight, keys.ledger, keys.dead], args=[argument]))
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
        endings = Endings(others=[_as_dead(each) for each in acceptances])
        try:
            await self._settle(keys=settle_keys(keys), args=[msgspec.json.encode(endings)])
            await self._redis.hdel(keys.dead, *(each.field for each in acceptances))
        except (RedisError, OSError, TimeoutError) as error:
            raise BackendUnavailableError(f"cannot forget {len(acceptances)} dead letters: {error}") from error


def _as_dead(acceptance: Acceptance) -> Ended:
    tenant_id, hour = acceptance.hour
    return Ended(acceptance.field, "dead", tenant_id, hour, acceptance.is_named)
