"""Opens a Redis client whose waits are bounded."""

from __future__ import annotations

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from cloudscale.errors import ConfigurationError

REDIS_SECONDS = 2.0
NO_RETRIES = Retry(NoBackoff(), 0)


def open_redis(
    url: str, *, connections: int | None = None, seconds: float = REDIS_SECONDS, retry: Retry | None = None
) -> Redis:
    """A client of the Redis at ``url`` that waits ``seconds`` at the most, to connect or for an answer.

    It connects with its first call, up to ``connections`` times at once, and tries a failed call again as ``retry``
    says, else as the library does; the caller closes it.

    Raises:
        ConfigurationError: this is no such URL. The message does not quote it, since it may hold a password.
    """
    try:
        client: Redis = Redis.from_url(
            url, socket_timeout=seconds, socket_connect_timeout=seconds, max_connections=connections
        )
    except ValueError:
        raise ConfigurationError(
            "the Redis URL cannot be used: write redis://:PASSWORD@HOST:PORT/0, or rediss:// for TLS, with special "
            "characters of the password percent-encoded"
        ) from None
    if retry is not None:
        client.set_retry(retry)
    return client
