"""Moves the counters of earlier versions into the hours' hashes.

They were three hashes without an expiry, with a field for each tenant and hour. Whoever reads the ledger moves them
first, and so does a worker when it starts: while a pipeline is rolled, processes of the earlier version go on writing
there. A field is moved in one step, so that it is counted in one place at every moment.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from cloudscale.cache import scripts
from cloudscale.cache.records import PERIOD, hour_at

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from cloudscale.cache.keys import Keys

FIELDS_A_CALL = 500


async def migrate(redis: Redis, keys: Keys) -> None:
    """Move what there is to move; costs one call when there is nothing.

    Raises:
        redis.exceptions.RedisError: Redis did not answer; the same call again goes on.
    """
    former = {
        keys.former_accepted: "accepted",
        keys.former_duplicates: "duplicates",
        keys.former_dead_letters: "dead",
    }
    if not await redis.exists(*former):
        return
    move = scripts.register(redis, "cloudscale.ledger", "move", counts=True)
    first_hour = hour_at(time.time() - PERIOD.total_seconds())
    for key, kind in former.items():
        cursor = 0
        while True:
            cursor = int(await move(keys=[key, keys.ledger], args=[cursor, FIELDS_A_CALL, kind, first_hour]))
            if not cursor:
                break
