"""The sessions of everybody who is signed in: random names in Redis, so that one can be ended for good.

What a cookie holds is nothing but the name of a session. Redis has the hash of the name, so that whoever reads it
cannot use the sessions. While Redis is away, the sessions that this process has seen lately go on.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from collections import OrderedDict
from typing import TYPE_CHECKING, NamedTuple

import structlog
from redis.exceptions import RedisError

from cloudscale.dashboard.session import decode, encode

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from cloudscale.dashboard.session import Session

log = structlog.get_logger(__name__)

CACHED_SESSIONS = 1000
TRUSTED_SECONDS = 5.0
NAME_BYTES = 32


class _Seen(NamedTuple):
    """A session that Redis has confirmed; both times are of the monotonic clock."""

    session: Session
    ends_at: float
    trusted_until: float


class SessionStore:
    """Opens, finds, replaces and ends sessions.

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
        self._seen: OrderedDict[str, _Seen] = OrderedDict()

    async def open(self, session: Session, *, name: str = "") -> str:
        """Keep a new session under a ``name`` from :func:`new_name`, or a fresh one; returns it."""
        name = name or new_name()
        key = self._key(name)
        try:
            await self._redis.set(key, encode(session), px=_milliseconds_left(session))
        except (RedisError, OSError, TimeoutError) as error:
            log.warning("a session is known to this dashboard alone: Redis cannot be reached", error=str(error))
        self._remember(key, session)
        return name

    async def find(self, name: str, *, fresh: bool = False) -> Session | None:
        """The session, None if there is none of this name any more. Asking for one keeps it from falling idle.

        Args:
            name: what the cookie holds.
            fresh: ask Redis also for what it has confirmed lately.
        """
        key = self._key(name)
        now = time.monotonic()
        known = self._seen.get(key)
        if known and known.ends_at <= now:
            self._forget(key)
            known = None
        if known and now < known.trusted_until and not fresh:
            return known.session
        try:
            content = await self._redis.get(key)
            session = decode(content) if isinstance(content, bytes) else None
            if session is not None and session.idle_seconds is not None:
                await self._redis.pexpire(key, _milliseconds_left(session))
        except (RedisError, OSError, TimeoutError):
            if known:
                self._remember(key, known.session, trusted_seconds=0)
            return known.session if known else None
        if session is None:
            self._forget(key)
            return None
        self._remember(key, session)
        return session

    async def replace(self, name: str, session: Session) -> bool:
        """Change what a session remembers; False if it was ended meanwhile, and then it stays ended.

        Raises:
            RedisError: Redis does not answer; the session is as it was.
        """
        key = self._key(name)
        if not await self._redis.set(key, encode(session), px=_milliseconds_left(session), xx=True):
            self._forget(key)
            return False
        self._remember(key, session)
        return True

    async def end(self, name: str) -> None:
        """End a session for good.

        Raises:
            RedisError: it is ended here, and Redis, which other replicas ask, cannot be told.
        """
        key = self._key(name)
        self._forget(key)
        await self._redis.delete(key)

    def _key(self, name: str) -> str:
        return self._prefix + digest_of_name(name)

    def _remember(self, key: str, session: Session, *, trusted_seconds: float | None = None) -> None:
        now = time.monotonic()
        trusted = self._trusted_seconds if trusted_seconds is None else trusted_seconds
        self._seen[key] = _Seen(session, now + _milliseconds_left(session) / 1000, now + trusted)
        self._seen.move_to_end(key)
        if len(self._seen) > self._cached_sessions:
            self._seen.popitem(last=False)

    def _forget(self, key: str) -> None:
        self._seen.pop(key, None)


def new_name() -> str:
    """A name for a session, which nobody else has."""
    return secrets.token_urlsafe(NAME_BYTES)


def digest_of_name(name: str) -> str:
    """What stands for a session's name where others may read it."""
    return hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()


def _milliseconds_left(session: Session) -> int:
    """How long Redis keeps it: until it ends, or falls idle. At the least a millisecond, for Redis takes no zero."""
    left = session.ends_at - time.time()
    if session.idle_seconds is not None:
        left = min(left, session.idle_seconds)
    return max(1, int(left * 1000))
