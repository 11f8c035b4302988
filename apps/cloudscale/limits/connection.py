"""Opens a Redis client whose waits are bounded."""

from __future__ import annotations

from redis.asyncio import Redis

REDIS_SECONDS = 2.0
"""For who can wait; ingestion, whose requests cannot, sets bounds of its own."""


def open_redis(url: str) -> Redis:
    """A client of the Redis at ``url`` that waits :data:`REDIS_SECONDS` at the most, to connect or for an answer.

    It connects with its first call; the caller closes it.
    """
    client: Redis = Redis.from_url(url, socket_timeout=REDIS_SECONDS, socket_connect_timeout=REDIS_SECONDS)
    return client
