"""What a process knows of keys and tenants, and for how long, while backends come and go."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

import msgspec
import pytest
from tests.waiting import wait_until

from cloudscale.access.caller import AccessUnavailableError
from cloudscale.access.directory import Directory, DirectoryLimits
from cloudscale.access.given_keys import NOTHING, GivenKeys, entry_of, read
from cloudscale.access.new_keys import new_key
from cloudscale.access.records import Key, Quota, Reference, Tenant
from cloudscale.errors import BackendUnavailableError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from tests.servers.redis import RedisServer

    from cloudscale.access.administration import Administration
    from cloudscale.access.container import AccessContainer
    from cloudscale.access.shared_cache import SharedCache

ACME = Reference("tenant", "acme")
SOON = timedelta(seconds=20)


class Counting:
    """The store, with a switch, that counts how often and for what it is asked."""

    def __init__(self, container: AccessContainer) -> None:
        self.container = container
        self.is_away = False
        self.asked: list[Sequence[Reference]] = []

    async def find(self, references: Sequence[Reference]) -> Mapping[Reference, Tenant | Key]:
        self.asked.append(references)
        if self.is_away:
            raise BackendUnavailableError("the store is away")
        return await self.container.find(references)


@pytest.fixture
def store(container: AccessContainer) -> Counting:
    return Counting(container)


@asynccontextmanager
async def opened(
    store: Counting, cache: SharedCache, *, given: GivenKeys = NOTHING, **limits: float
) -> AsyncIterator[Directory]:
    async with Directory(
        store.find,
        cache,
        given=given.find,
        limits=DirectoryLimits(**{"poll_seconds": 0.05, **limits}),  # type: ignore[arg-type]
    ) as directory:
        yield directory


async def test_a_record_is_looked_up_once(store: Counting, cache: SharedCache, administration: Administration) -> None:
    made = await administration.create_tenant("acme")
    async with opened(store, cache) as directory:
        assert [await directory.find(ACME) for _ in range(3)] == [made] * 3
    assert len(store.asked) == 1

    async with opened(store, cache) as another:
        assert await another.find(ACME) == made
    assert len(store.asked) == 1, "the second process finds the copy in Redis"


async def test_lookups_that_arrive_together_are_made_together(
    store: Counting, cache: SharedCache, administration: Administration
) -> None:
    await administration.create_tenant("acme")
    names = ["acme", *(f"t{number}" for number in range(50))]
    async with opened(store, cache) as directory:
        found = await asyncio.gather(*(directory.find(Reference("tenant", name)) for name in names * 3))

    assert [each is not None for each in found] == [name == "acme" for name in names * 3]
    assert len(store.asked) <= 2


async def test_lookups_that_follow_one_another_closely_are_made_together(
    store: Counting, cache: SharedCache, administration: Administration
) -> None:
    await administration.create_tenant("acme")
    async with (
        opened(store, cache, lookup_interval_seconds=0.3, lookup_burst=0) as directory,
        asyncio.TaskGroup() as lookups,
    ):
        assert await directory.find(ACME) is not None
        for number in range(20):
            lookups.create_task(directory.find(Reference("tenant", f"t{number}")))
            await asyncio.sleep(0)

    assert [len(asked) for asked in store.asked] == [1, 20]


async def test_invented_keys_push_out_nothing_that_is_there(
    store: Counting, cache: SharedCache, administration: Administration
) -> None:
    await administration.create_tenant("acme")
    async with opened(store, cache, records=2, absent=2) as directory:
        await directory.find(ACME)
        await asyncio.gather(*(directory.find(Reference("key", f"invented{number}")) for number in range(10)))
        assert directory.known(ACME)[0]
        assert sum(directory.known(Reference("key", f"invented{number}"))[0] for number in range(10)) == 2


async def test_a_change_holds_in_every_process_soon(
    store: Counting, cache: SharedCache, administration: Administration
) -> None:
    await administration.create_tenant("acme")
    async with opened(store, cache) as one, opened(store, cache) as other:
        await one.find(ACME)
        await other.find(ACME)
        changed = await administration.change_tenant("acme", quota=Quota(events_per_second=7))

        async def all_know() -> bool:
            return [await one.find(ACME), await other.find(ACME)] == [changed, changed]

        await wait_until(all_know, within=SOON)


async def test_what_was_not_there_is_found_as_soon_as_it_is_created(
    store: Counting, cache: SharedCache, administration: Administration
) -> None:
    async with opened(store, cache) as directory:
        assert [await directory.find(ACME) for _ in range(5)] == [None] * 5
        assert len(store.asked) == 1, "it is remembered that there is none"
        await administration.create_tenant("acme")

        async def is_found() -> bool:
            return await directory.find(ACME) is not None

        await wait_until(is_found, within=SOON)


async def test_what_is_known_goes_on_while_redis_and_the_store_are_away(
    store: Counting, cache: SharedCache, cache_server: RedisServer, administration: Administration
) -> None:
    made = await administration.create_tenant("acme")
    async with opened(store, cache, unconfirmed_seconds=0, confirmed_seconds=0.2) as directory:
        await directory.find(ACME)
        store.is_away = True
        cache_server.stop()
        try:

            async def store_was_asked() -> bool:
                assert await directory.find(ACME) == made
                return len(store.asked) > 1

            await wait_until(store_was_asked, within=SOON)
            with pytest.raises(AccessUnavailableError):
                await directory.find(Reference("tenant", "contoso"))
        finally:
            cache_server.start()


async def test_what_is_known_ends_after_its_time_while_nobody_can_be_asked(
    store: Counting, cache: SharedCache, administration: Administration
) -> None:
    await administration.create_tenant("acme")
    async with opened(store, cache, kept_seconds=0.0) as directory:
        await cache.find([])
        assert await directory.find(ACME) is not None
        store.is_away = True
        await cache.changed([ACME])

        with pytest.raises(AccessUnavailableError):
            await directory.find(ACME)


async def test_a_revocation_holds_although_the_store_went_away_after_it(
    store: Counting, cache: SharedCache, administration: Administration
) -> None:
    await administration.create_tenant("acme")
    async with opened(store, cache) as directory:
        await directory.find(ACME)
        store.is_away = True
        await cache.changed([ACME])

        async def is_refused() -> bool:
            try:
                await directory.find(ACME)
            except AccessUnavailableError:
                return True
            return False

        await wait_until(is_refused, within=SOON)


async def test_invented_names_leave_nothing_in_redis_and_little_in_memory(
    store: Counting, cache: SharedCache, cache_server: RedisServer
) -> None:
    names = [Reference("key", f"invented{number:04d}") for number in range(500)]
    async with opened(store, cache, absent=100) as directory:
        assert set(await asyncio.gather(*map(directory.find, names))) == {None}
        assert sum(directory.known(each)[0] for each in names) == 100
        assert await cache._redis.dbsize() == 0


async def test_a_crowd_of_unknown_names_is_refused_before_it_takes_memory(store: Counting, cache: SharedCache) -> None:
    async with opened(store, cache, waiting=10) as directory:
        answers = await asyncio.gather(
            *(directory.find(Reference("key", f"k{number}")) for number in range(50)), return_exceptions=True
        )

    assert sum(isinstance(answer, AccessUnavailableError) for answer in answers) == 40


async def test_a_key_from_a_file_is_always_there(store: Counting, cache: SharedCache) -> None:
    key, given = given_key()
    store.is_away = True
    async with opened(store, cache, given=given) as directory:
        assert directory.known(Reference("key", key.id)) == (True, key)
        assert await directory.find(Reference("key", key.id)) == key
    assert store.asked == []


def given_key() -> tuple[Key, GivenKeys]:
    key = new_key("acme", "web").record
    return key, read(msgspec.json.encode([entry_of(key)]))


async def test_a_given_key_and_its_tenant_need_nothing_in_the_store(store: Counting, cache: SharedCache) -> None:
    key, given = given_key()
    async with opened(store, cache, given=given, absent_seconds=0.0) as directory:
        assert await directory.find(Reference("key", key.id)) == key
        assert await directory.find(ACME) == given.find(ACME)
        assert await directory.find(ACME) == given.find(ACME)
    assert store.asked == [[ACME]], "asked once whether the store says something else about the tenant"


async def test_what_the_store_says_of_a_given_keys_tenant_counts(
    store: Counting, cache: SharedCache, administration: Administration
) -> None:
    _, given = given_key()
    disabled = await disabled_tenant(administration)
    async with opened(store, cache, given=given) as directory:
        assert await directory.find(ACME) == disabled


async def test_a_tenant_that_is_made_after_its_given_key_is_noticed(
    store: Counting, cache: SharedCache, administration: Administration
) -> None:
    _, given = given_key()
    async with opened(store, cache, given=given) as directory:
        assert await directory.find(ACME) == given.find(ACME)
        made = await administration.create_tenant("acme", quota=Quota(events_per_second=7))

        async def is_noticed() -> bool:
            return await directory.find(ACME) == made

        await wait_until(is_noticed, within=SOON)


async def test_a_given_key_holds_while_nobody_can_be_asked_and_asks_seldom(store: Counting, cache: SharedCache) -> None:
    key, given = given_key()
    store.is_away = True
    async with opened(store, cache, given=given) as directory:
        for _ in range(3):
            assert await directory.find(ACME) == given.find(ACME)
            assert await directory.find(Reference("key", key.id)) == key
        with pytest.raises(AccessUnavailableError):
            await directory.find(Reference("tenant", "contoso"))
    assert store.asked == [[ACME], [Reference("tenant", "contoso")]]


async def test_a_given_keys_tenant_is_asked_for_again_when_the_store_may_be_back(
    store: Counting, cache: SharedCache, administration: Administration
) -> None:
    _, given = given_key()
    disabled = await disabled_tenant(administration)
    store.is_away = True
    async with opened(store, cache, given=given, absent_seconds=0.05) as directory:
        assert await directory.find(ACME) == given.find(ACME)
        store.is_away = False

        async def is_noticed() -> bool:
            return await directory.find(ACME) == disabled

        await wait_until(is_noticed, within=SOON)


async def disabled_tenant(administration: Administration) -> Tenant:
    await administration.create_tenant("acme")
    return await administration.change_tenant("acme", disabled=True)
