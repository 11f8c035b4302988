"""A sign-in between leaving for the provider and coming back: what only this browser may bring back.

It travels in a cookie, encrypted with a secret that the dashboards share in Redis. So nobody who is not signed in can
make Redis grow, no page and no other site can read or make one, and an answer of the provider is worth nothing in a
browser that did not ask for it.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
import time
from typing import TYPE_CHECKING, Final

import msgspec

from cloudscale.dashboard.sealing import SECRET_BYTES, seal, unseal

if TYPE_CHECKING:
    from redis.asyncio import Redis

COOKIE: Final = "cloudscale-sign-in"
ATTEMPT_SECONDS: Final = 600
RANDOM_BYTES: Final = 32

_PURPOSE: Final = "attempt to sign in"
_OWN_PAGE: Final = re.compile(r"/(#/[\x21-\x7e]{0,1000})?")


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """One sign-in that has begun. ``ends_at`` is in seconds since 1970."""

    state: str
    nonce: str
    verifier: str
    return_to: str
    ends_at: float

    @property
    def challenge(self) -> str:
        """What the provider is told of the verifier (RFC 7636, S256)."""
        digest = hashlib.sha256(self.verifier.encode()).digest()
        return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()

    def is_answered_by(self, state: str) -> bool:
        """Whether an answer with this state belongs to it."""
        return hmac.compare_digest(self.state.encode(), state.encode("utf-8", "surrogatepass"))


_attempt = msgspec.json.Decoder(Attempt)


def new_attempt(return_to: str) -> Attempt:
    """An attempt that will end at ``return_to``, if that is a page of the dashboard, else at its first page."""
    state, nonce, verifier = (secrets.token_urlsafe(RANDOM_BYTES) for _ in range(3))
    return Attempt(
        state=state,
        nonce=nonce,
        verifier=verifier,
        return_to=own_page(return_to),
        ends_at=time.time() + ATTEMPT_SECONDS,
    )


def own_page(address: str) -> str:
    """The address if it is one of the dashboard's pages, which are all behind ``/#/``; else ``/``."""
    return address if _OWN_PAGE.fullmatch(address) else "/"


class Attempts:
    """Seals attempts for their browsers, and lets each be used once.

    Args:
        redis: where the dashboards' common secret is, and which attempts succeeded lately.
        key_prefix: what the keys of this pipeline's sign-ins begin with.
    """

    def __init__(self, redis: Redis, *, key_prefix: str) -> None:
        self._redis = redis
        self._prefix = key_prefix
        self._secret: bytes | None = None

    async def seal(self, attempt: Attempt) -> str:
        """The cookie's value.

        Raises:
            RedisError: the common secret cannot be read.
        """
        return seal(msgspec.json.encode(attempt), secret=await self._common_secret(), purpose=_PURPOSE)

    async def open(self, cookie: str) -> Attempt | None:
        """The attempt in a cookie; None if it was made elsewhere, changed, or has taken too long.

        Raises:
            RedisError: the common secret cannot be read.
        """
        content = unseal(cookie, secret=await self._common_secret(), purpose=_PURPOSE)
        if content is None:
            return None
        attempt = _attempt.decode(content)
        return attempt if attempt.ends_at > time.time() else None

    async def is_used(self, attempt: Attempt) -> bool:
        """Whether the attempt has led to a session already.

        Raises:
            RedisError: this is not known.
        """
        return bool(await self._redis.exists(self._used(attempt)))

    async def use(self, attempt: Attempt) -> bool:
        """Mark an attempt that the provider has confirmed; False if that was done before.

        Raises:
            RedisError: it cannot be marked, and so must not be used.
        """
        return bool(await self._redis.set(self._used(attempt), b"", nx=True, ex=ATTEMPT_SECONDS))

    def _used(self, attempt: Attempt) -> str:
        return f"{self._prefix}used:{hashlib.sha256(attempt.state.encode()).hexdigest()}"

    async def _common_secret(self) -> bytes:
        if self._secret is None:
            key = self._prefix + "secret"
            await self._redis.set(key, secrets.token_bytes(SECRET_BYTES), nx=True)
            found = await self._redis.get(key)
            if not isinstance(found, bytes):
                # Emptied in between; the next attempt finds it made.
                return secrets.token_bytes(SECRET_BYTES)
            self._secret = found
        return self._secret
