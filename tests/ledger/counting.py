"""Reads and writes the ledger's counters as the pipeline does, for tests that need certain ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cloudscale.cache.records import UNNAMED
from cloudscale.cache.scripts import COUNT_LUA

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from cloudscale.cache.keys import Keys


async def add_to(
    redis: Redis, keys: Keys, kind: str, number: int = 1, *, tenant: str = "contoso", hour: str = "2024-05-01T10"
) -> None:
    """Count ``number`` events of a kind, such as ``accepted`` or ``dead-unnamed``."""
    script = redis.register_script(COUNT_LUA + "count(KEYS[1], ARGV[1], ARGV[2], ARGV[3], ARGV[4])")
    await script(keys=[keys.ledger], args=[hour, tenant, kind, number])


async def counted(redis: Redis, keys: Keys, kind: str) -> int:
    """How many events of a kind have been counted in all, named or not."""
    values = await redis.hmget(keys.totals, [kind, kind + UNNAMED])
    return sum(int(value or 0) for value in values)


async def hour_counters(redis: Redis, keys: Keys, hour: str = "2024-05-01T10") -> dict[str, int]:
    """The counters of an hour by ``tenant kind``."""
    raw: dict[bytes, bytes] = await redis.hgetall(keys.hour(hour))  # type: ignore[assignment] # bytes, undecoded
    return {field.decode().replace("\n", " "): int(number) for field, number in raw.items()}
