"""When each API key was last used: noted in memory, and brought to Redis once a minute for all keys together.

A key is noted when it is looked up, which a process does once a second for a key that is in use; a request of a key
that is known costs nothing. What is lost is the last minute, when a process ends without notice or Redis is away.
"""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

import structlog
from redis.exceptions import RedisError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from redis.asyncio import Redis

    from cloudscale.cache.keys import Keys

log = structlog.get_logger(__name__)

WRITE_SECONDS: Final = 60.0
MOST_NOTED: Final = 50_000
"""Keys between two writes; the uses of more are not noted."""
KEYS_A_CALL: Final = 5_000
"""One call of more keys would hold Redis up for all others."""
READ_SECONDS: Final = 1.0
"""Lists go on without it."""
KEPT: Final = timedelta(days=400)
MOST_KEPT: Final = 1_000_000


class LastUse:
    """The last uses of the keys of one pipeline. One process notes its own; all processes read those of all."""

    def __init__(self, redis: Redis, keys: Keys) -> None:
        self._redis = redis
        self._name = keys.access_used
        self._noted: dict[str, float] = {}

    def note(self, key_id: str) -> None:
        """A key is used now."""
        if key_id in self._noted or len(self._noted) < MOST_NOTED:
            self._noted[key_id] = time.time()

    async def write(self) -> None:
        """Bring what was noted to Redis. What cannot be brought is brought with the next.

        Raises:
            redis.exceptions.RedisError: Redis does not answer.
        """
        noted = list(self._noted.items())
        for first in range(0, len(noted), KEYS_A_CALL):
            some = dict(noted[first : first + KEYS_A_CALL])
            async with self._redis.pipeline(transaction=False) as calls:
                # Another process may have seen a later use.
                calls.zadd(self._name, some, gt=True)
                calls.zremrangebyscore(self._name, "-inf", time.time() - KEPT.total_seconds())
                calls.zremrangebyrank(self._name, 0, -1 - MOST_KEPT)
                calls.expire(self._name, KEPT)
                await calls.execute()
            for key_id, used_at in some.items():
                # It may have been used again in the meantime.
                if self._noted.get(key_id) == used_at:
                    del self._noted[key_id]

    async def write_every_minute(self, *, seconds: float = WRITE_SECONDS) -> None:
        """Write until cancelled."""
        while True:
            await asyncio.sleep(seconds)
            try:
                await self.write()
            except (RedisError, OSError, TimeoutError) as error:
                log.debug("when keys were last used is written later: Redis cannot be reached", error=str(error))

    async def of(self, key_ids: Sequence[str]) -> list[datetime | None]:
        """When each of these keys was last used, a minute late at the most; None for one that nobody saw in use.

        Raises:
            redis.exceptions.RedisError, TimeoutError: Redis does not answer.
        """
        if not key_ids:
            return []
        async with asyncio.timeout(READ_SECONDS):
            found = await self._redis.zmscore(self._name, list(key_ids))
        return [None if score is None else datetime.fromtimestamp(float(score), UTC) for score in found]
