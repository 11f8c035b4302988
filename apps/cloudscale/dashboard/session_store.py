"""The sessions of everybody who is signed in: random names in Redis, so that one can be ended for good.

What a cookie holds is nothing but the name of a session. Redis has the hash of the name, so that whoever reads it
cannot use the sessions, and the digest of the token that opened the session: a token that is withdrawn ends its
sessions. While Redis is away, the sessions that this process has seen lately go on.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from collections import OrderedDict
from typing import TYPE_CHECKING

import structlog
from redis.exceptions import RedisError

if TYPE_CHECKING:
    from redis.asyncio import Redis

log = structlog.get_logger(__name__)

SESSION_SECONDS = 12 * 3600
CACHED_SESSIONS = 1000
TRUSTED_SECONDS = 5.0
NAME_BYTES = 32


class SessionStore:
    """Opens, finds and ends sessions.

    Args:
        redis: where the sessions of all dashboards are.
        key_prefix: what the keys of this pipeline's sessions begin with.
        trusted_seconds: how long a session that Redis has confirmed is not asked for again: one that was ended
            elsewhere lives on as long here.
        cached_sessions: how many confirmed sessions are kept for while Redis is away.
    """

    def __init__(
        self,
        redis: Redis,
        *,
        key_prefix: str,
        trusted_seconds: float = TRUSTED_SECONDS,
        cached_sessions: int = CACHED_SESSIONS,
    ) -> None:
        self._redis = redis
        self._prefix = key_prefix
        self._trusted_seconds = trusted_seconds
        self._cached_sessions = cached_sessions
        self._seen: OrderedDict[str, tuple[str, float, float]] = OrderedDict()
        """By key: the token's digest, when the session ends, and until when Redis need not be asked."""

    async def open(self, token_digest: str) -> str:
        """A new session for the token with this digest; its name, which nobody else has."""
        name = secrets.token_urlsafe(NAME_BYTES)
        key = self._key(name)
        try:
            await self._redis.set(key, token_digest, ex=SESSION_SECONDS)
        except (RedisError, OSError, TimeoutError) as error:
            log.warning("a session is known to this dashboard alone: Redis cannot be reached", error=str(error))
        self._remember(key, token_digest, time.monotonic() + SESSION_SECONDS)
        return name

    async def find(self, name: str) -> str | None:
        """The digest of the token that opened the session, None if there is no such session any more."""
        key = self._key(name)
        now = time.monotonic()
        known = self._seen.get(key)
        if known and known[1] <= now:
            self._forget(key)
            known = None
        if known and now < known[2]:
            return known[0]
        try:
            found = await self._redis.get(key)
            left_seconds = await self._redis.ttl(key) if found else 0
        except (RedisError, OSError, TimeoutError):
            return known[0] if known else None
        if found is None:
            self._forget(key)
            return None
        digest = found.decode() if isinstance(found, bytes) else found
        self._remember(key, digest, now + left_seconds)
        return digest

    async def end(self, name: str) -> None:
        """End a session for good.

        Raises:
            RedisError: it is ended here, and Redis, which other replicas ask, cannot be told.
        """
        key = self._key(name)
        self._forget(key)
        await self._redis.delete(key)

    def _key(self, name: str) -> str:
        return self._prefix + hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()

    def _remember(self, key: str, digest: str, ends_at: float) -> None:
        self._seen[key] = digest, ends_at, time.monotonic() + self._trusted_seconds
        self._seen.move_to_end(key)
        if len(self._seen) > self._cached_sessions:
            self._seen.popitem(last=False)

    def _forget(self, key: str) -> None:
        self._seen.pop(key, None)
