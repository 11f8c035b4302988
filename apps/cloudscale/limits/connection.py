"""Opens a Redis client whose waits are bounded."""

from __future__ import annotations

from redis.asyncio import Redis

from cloudscale.errors import ConfigurationError

REDIS_SECONDS = 2.0
"""For who can wait; ingestion, whose requests cannot, sets bounds of its own."""


def open_redis(url: str, *, connections: int | None = None) -> Redis:
    """A client of the Redis at ``url`` that waits :data:`REDIS_SECONDS` at the most, to connect or for an answer.

    It connects with its first call, up to ``connections`` times at once; the caller closes it.

    Raises:
        ConfigurationError: this is no such URL. The message does not quote it, since it may hold a password.
    """
    try:
        client: Redis = Redis.from_url(
            url, socket_timeout=REDIS_SECONDS, socket_connect_timeout=REDIS_SECONDS, max_connections=connections
        )
    except ValueError:
        raise ConfigurationError(
            "the Redis URL cannot be used: write redis://:PASSWORD@HOST:PORT/0, or rediss:// for TLS, with special "
            "characters of the password percent-encoded"
        ) from None
    return client
