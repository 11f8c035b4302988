"""Tells the processes of changes, and goes on trying while Redis is away.

A revocation that Redis was not told of would hold in a process that reads from Redis only when its copies are too old.
A service that makes changes and stays has the time to tell of them later; a command has not.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import structlog
from redis.exceptions import RedisError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cloudscale.access.records import Reference
    from cloudscale.access.shared_cache import SharedCache

log = structlog.get_logger(__name__)

AGAIN_SECONDS: Final = 1.0
MOST_UNTOLD: Final = 10_000
"""Changes that wait for Redis; of more, the oldest are noticed when what the processes know is too old."""


class Announcements:
    """What one process has to tell of. :meth:`tell_later` is for a task of its owner."""

    tells_later: Final = True

    def __init__(self, cache: SharedCache) -> None:
        self._cache = cache
        self._untold: dict[Reference, object] = {}
        """Each with a mark of its own: what changes again while it is told must be told again."""

    async def changed(self, references: Sequence[Reference]) -> str:
        """Note that these have changed; the new version.

        Raises:
            redis.exceptions.RedisError: Redis does not answer; it is told later.
        """
        self._untold.update({reference: object() for reference in references})
        while len(self._untold) > MOST_UNTOLD:
            del self._untold[next(iter(self._untold))]
        return await self._tell(references)

    async def tell_later(self, *, seconds: float = AGAIN_SECONDS) -> None:
        """Tell what could not be told, until cancelled."""
        while True:
            await asyncio.sleep(seconds)
            if some := list(self._untold):
                try:
                    await self._tell(some)
                except (RedisError, OSError) as error:
                    log.debug("changes of keys and tenants are told later: Redis cannot be reached", error=str(error))
                else:
                    log.info("changes that Redis could not be told of are told now", changes=len(some))

    async def _tell(self, references: Sequence[Reference]) -> str:
        marks = {reference: self._untold.get(reference) for reference in references}
        version = await self._cache.changed(references)
        for reference, mark in marks.items():
            if mark is not None and self._untold.get(reference) is mark:
                del self._untold[reference]
        return version
