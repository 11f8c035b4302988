"""Renews sessions with the provider, one at a time: many refresh tokens are good for one use only."""

from __future__ import annotations

import asyncio
import secrets
import time
from typing import TYPE_CHECKING, Final

import structlog

from cloudscale.dashboard.session import PersonSession
from cloudscale.dashboard.session_store import digest_of_name
from cloudscale.errors import BackendUnavailableError
from cloudscale.tasks import cancel_and_wait

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from redis.asyncio import Redis

    from cloudscale.dashboard.session_store import SessionStore

log = structlog.get_logger(__name__)

ASK_SECONDS: Final = 20.0
LOCK_SECONDS: Final = 30.0
"""Longer than the provider is asked, so that nobody else asks meanwhile."""
WAIT_SECONDS: Final = 25.0
POLL_SECONDS: Final = 0.05

# Only whoever has the lock may give it back: it may have expired and be another's.
_RELEASE: Final = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0"


class Renewals:
    """Renews sessions; requests that need the same session renewed wait for one answer of the provider.

    Args:
        redis: where the locks are that hold over all dashboards.
        key_prefix: what the keys of this pipeline's sign-ins begin with.
        store: where the sessions are.
        ask: asks the provider about a session, given its name and what is known; the session as it is now, or None when
            the provider does not renew it.
    """

    def __init__(
        self,
        redis: Redis,
        *,
        key_prefix: str,
        store: SessionStore,
        ask: Callable[[str, PersonSession], Awaitable[PersonSession | None]],
    ) -> None:
        self._redis = redis
        self._prefix = key_prefix
        self._store = store
        self._ask = ask
        self._running: dict[str, asyncio.Task[PersonSession | None]] = {}

    async def renew(self, name: str) -> PersonSession | None:
        """The session, renewed by this call or another's; None when it is over.

        A caller that goes away does not stop it: what the provider has given by then would be lost, and the session
        with it.

        Raises:
            BackendError: whether it is renewed is not known, since the provider or Redis does not answer.
            RedisError: the same.
        """
        task = self._running.get(name)
        if task is None:
            task = asyncio.create_task(self._renew(name), name="renewal of a session")
            self._running[name] = task
            task.add_done_callback(lambda done: self._ended(name, done))
        return await asyncio.shield(task)

    async def close(self) -> None:
        """End what is under way."""
        await cancel_and_wait(*self._running.values())

    def _ended(self, name: str, task: asyncio.Task[PersonSession | None]) -> None:
        del self._running[name]
        # Read, for callers may all be gone; those that wait get it themselves.
        if not task.cancelled() and (error := task.exception()) is not None:
            log.warning("a session is not renewed", error=str(error))

    async def _renew(self, name: str) -> PersonSession | None:
        lock, owner = f"{self._prefix}lock:{digest_of_name(name)}", secrets.token_hex(16)
        give_up_at = time.monotonic() + WAIT_SECONDS
        while not await self._redis.set(lock, owner, nx=True, px=int(LOCK_SECONDS * 1000)):
            if time.monotonic() > give_up_at:
                raise BackendUnavailableError("another request has been renewing this session for too long: try again")
            await asyncio.sleep(POLL_SECONDS)
        try:
            return await self._renew_locked(name)
        finally:
            await self._redis.eval(_RELEASE, 1, lock, owner)

    async def _renew_locked(self, name: str) -> PersonSession | None:
        session = await self._store.find(name, fresh=True)
        if not isinstance(session, PersonSession):
            return None
        if session.renew_at > time.time():
            return session
        try:
            async with asyncio.timeout(ASK_SECONDS):
                renewed = await self._ask(name, session)
        except TimeoutError:
            raise BackendUnavailableError("the sign-in provider does not answer in time: try again") from None
        if renewed is None:
            await self._store.end(name)
            return None
        return renewed if await self._store.replace(name, renewed) else None
