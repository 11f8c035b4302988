"""The queue's depth for roles that may not ask the broker: whoever may read it leaves it in Redis for the others.

Reading the depth needs more rights than sending and receiving. The operator has them and writes down what it reads; a
service asks the broker first, which is fresher, and looks into Redis when it is refused.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec
import structlog
from redis.exceptions import RedisError

from cloudscale.errors import BackendUnavailableError, CredentialError
from cloudscale.queue.administration import QueueDepth

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from redis.asyncio import Redis

    from cloudscale.cache.keys import Keys

log = structlog.get_logger(__name__)

KEPT_SECONDS = 60
"""Longer than the operator takes between two readings; an older depth says nothing any more."""

REDIS_SECONDS = 1.0


class SharedDepth:
    """Reads the depth with ``ask``, which asks the broker, else as somebody else has read it."""

    def __init__(self, ask: Callable[[], Awaitable[QueueDepth]], redis: Redis, *, keys: Keys) -> None:
        self._ask = ask
        self._redis = redis
        self._key = keys.depth

    async def read(self) -> QueueDepth:
        """The depth.

        Raises:
            CredentialError: this process may not ask, and nobody else has written a depth down.
            BackendUnavailableError: the broker does not answer.
        """
        try:
            return await self._ask()
        except CredentialError as refusal:
            try:
                async with asyncio.timeout(REDIS_SECONDS):
                    written = await self._redis.get(self._key)
            except (RedisError, OSError, TimeoutError) as error:
                raise BackendUnavailableError(f"{refusal}; the operator's reading is not there: {error}") from error
            if written is None:
                raise
            try:
                return msgspec.json.decode(written, type=QueueDepth)
            except msgspec.DecodeError:
                raise refusal from None

    async def read_and_share(self) -> QueueDepth:
        """The depth as the broker says it, written down for the others.

        Raises:
            CredentialError, BackendUnavailableError: the broker does not tell.
        """
        depth = await self._ask()
        try:
            async with asyncio.timeout(REDIS_SECONDS):
                await self._redis.set(self._key, msgspec.json.encode(depth), ex=KEPT_SECONDS)
        except (RedisError, OSError, TimeoutError) as error:
            log.info("the depth cannot be written down for roles that may not read it", error=str(error))
        return depth
