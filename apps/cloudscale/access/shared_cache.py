"""The directory's records in Redis, for all processes, and how processes learn that one has changed.

Each change makes a new version. A process asks for the version again and again, and for what has changed since the one
that it knows. A copy is written only if nothing has changed since before the record was read, so that a slow reader
cannot bring back what a change has just taken away. Only what exists is kept: callers who invent keys leave no trace.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

import msgspec

from cloudscale.access.records import Key, Reference, Tenant
from cloudscale.cache import scripts

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from redis.asyncio import Redis

    from cloudscale.cache.keys import Keys

KEPT: Final = timedelta(hours=1)
KEPT_CHANGES: Final = 10_000

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Tenant | Key).decode


class SharedCache:
    """The copies of one pipeline's tenants and keys. Every method raises ``RedisError`` where Redis does not answer."""

    tells_later: Final = False

    def __init__(self, redis: Redis, *, keys: Keys) -> None:
        self._redis = redis
        self._version = keys.access_version
        self._changes = keys.access_changes
        self._prefix = keys.access
        self._changed = scripts.register(redis, "cloudscale.access", "changes")
        self._remember = scripts.register(redis, "cloudscale.access", "remember")

    async def version(self) -> str:
        """The version of the directory; empty before its first change."""
        return _text(await self._redis.get(self._version))

    async def changed(self, references: Sequence[Reference]) -> str:
        """Note that these have changed; the new version."""
        copies = [self._copy(reference) for reference in references]
        names = [f"{reference.kind}:{reference.id}" for reference in references]
        return _text(await self._changed(keys=[self._version, self._changes, *copies], args=[KEPT_CHANGES, *names]))

    async def changes_since(self, version: str) -> tuple[str, list[Reference] | None]:
        """The version now, and what has changed since another; None if that is not known any more."""
        now = await self.version()
        if now == version:
            return now, []
        if not version or not now or int(now) < int(version):
            return now, None
        async with self._redis.pipeline(transaction=True) as calls:
            calls.zrangebyscore(self._changes, f"({version}", "+inf")
            calls.zcount(self._changes, "-inf", version)
            calls.zcard(self._changes)
            names, before, known = await calls.execute()
        if known >= KEPT_CHANGES and not before:
            return now, None
        return now, [reference for name in names if (reference := _reference(_text(name))) is not None]

    async def find(self, references: Sequence[Reference]) -> tuple[str, dict[Reference, Tenant | Key]]:
        """The version, and those records that there is a copy of."""
        version, *copies = await self._redis.mget([self._version, *(self._copy(each) for each in references)])
        found = {}
        for reference, copy in zip(references, copies, strict=True):
            if copy is not None:
                try:
                    found[reference] = _decode(copy)
                except msgspec.DecodeError:
                    # Another version of this program wrote it, or nobody of ours: the store is asked.
                    continue
        return _text(version), found

    async def remember(self, records: Mapping[Reference, Tenant | Key], *, version: str) -> None:
        """Keep copies of records that were read after the directory had ``version``."""
        if records:
            copies = [self._copy(reference) for reference in records]
            contents = [_encode(record) for record in records.values()]
            seconds = round(KEPT.total_seconds())
            await self._remember(keys=[self._version, *copies], args=[version, seconds, *contents])

    def _copy(self, reference: Reference) -> str:
        return f"{self._prefix}{reference.kind}:{reference.id}"


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value or "")


def _reference(name: str) -> Reference | None:
    kind, _, identity = name.partition(":")
    return Reference(kind, identity) if kind in ("tenant", "key") else None  # type: ignore[arg-type] # it is compared
