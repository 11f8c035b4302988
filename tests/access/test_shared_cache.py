"""Copies in Redis, and how processes learn of changes."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from cloudscale.access import shared_cache as module
from cloudscale.access.records import Reference, Tenant

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from cloudscale.access.shared_cache import SharedCache

ACME = Reference("tenant", "acme")
RECORD = Tenant(id="acme", created_at=datetime(2026, 11, 28, tzinfo=UTC))


async def test_a_copy_is_found_by_others(cache: SharedCache) -> None:
    version, found = await cache.find([ACME])
    assert found == {}
    await cache.remember({ACME: RECORD}, version=version)

    assert (await cache.find([ACME, Reference("tenant", "contoso")]))[1] == {ACME: RECORD}


async def test_a_change_takes_the_copy_away_and_is_told_once(cache: SharedCache) -> None:
    version = await cache.changed([Reference("key", "abc")])
    await cache.remember({ACME: RECORD}, version=version)
    changed = await cache.changed([ACME])

    assert (await cache.find([ACME]))[1] == {}
    assert await cache.changes_since(version) == (changed, [ACME])
    assert await cache.changes_since(changed) == (changed, [])


async def test_what_was_read_before_a_change_is_not_kept_after_it(cache: SharedCache) -> None:
    version, _ = await cache.find([ACME])
    await cache.changed([ACME])
    await cache.remember({ACME: RECORD}, version=version)

    assert (await cache.find([ACME]))[1] == {}


async def test_a_redis_that_lost_everything_makes_versions_that_never_were(cache: SharedCache, redis: Redis) -> None:
    first = await cache.changed([ACME])
    await redis.flushall()
    assert (await cache.changes_since(first)) == ("", None)

    second = await cache.changed([ACME])

    assert int(second) > int(first)


async def test_a_reader_that_slept_through_too_many_changes_is_told_that_all_may_have_changed(
    cache: SharedCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "KEPT_CHANGES", 3)
    first = await cache.changed([ACME])
    versions = [await cache.changed([Reference("key", f"k{number}")]) for number in range(4)]

    assert await cache.changes_since(first) == (versions[-1], None)


@pytest.mark.parametrize("copy", [b'{"kind": "tenant", "id": 5}', b"{", b"", b"\xff"])
async def test_a_copy_that_cannot_be_read_is_none(cache: SharedCache, redis: Redis, copy: bytes) -> None:
    await redis.set("cloudscale:default/test:access:tenant:acme", copy)

    assert (await cache.find([ACME]))[1] == {}
