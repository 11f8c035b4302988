"""Profiles follow the change feed exactly once, whoever reads it."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from tests.store.creating import create_all

from cloudscale.errors import BackendError
from cloudscale.store.feed import EventFeed
from cloudscale.store.leases import LeaseStore
from cloudscale.store.passes import Passes
from cloudscale.store.profiles import ProfileStore
from cloudscale.store.ranges import OwnedRanges
from cloudscale.worker.projection import Projection

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.worker.harness import Harness

SCORING = {"page_view": 1}


def documents(first: int, count: int, users: int = 5) -> list[dict[str, Any]]:
    return [
        {
            "id": str(number),
            "partitionKey": f"t1:2024-{number % 12 + 1:02d}",
            "tenantId": "t1",
            "userId": f"u{number % users}",
            "eventType": "page_view",
            "createdAt": "2024-05-01T10:00:00.000000Z",
            "payloadHash": "h",
            "acceptance": "a",
        }
        for number in range(first, first + count)
    ]


@asynccontextmanager
async def projection(harness: Harness, owner: str) -> AsyncIterator[tuple[Passes, OwnedRanges]]:
    async with EventFeed(harness.resource.spec.store, harness.settings) as feed:
        ranges = OwnedRanges(feed, LeaseStore(harness.store), owner=owner)
        yield Passes(feed, ranges, Projection(ProfileStore(harness.store), scoring=SCORING)), ranges


async def scores(harness: Harness) -> list[int]:
    return sorted(profile.score for profile in await harness.profiles.top(limit=100))


async def test_a_pass_adds_what_is_new_and_only_that(harness: Harness) -> None:
    async with projection(harness, "one") as (one, _):
        await create_all(harness.store, documents(0, 50))
        assert not await one.run_pass()
        assert await scores(harness) == [10] * 5
        assert not await one.run_pass()
        await create_all(harness.store, documents(50, 5))
        await one.run_pass()
        assert await scores(harness) == [11] * 5


async def test_events_without_a_user_have_no_profile(harness: Harness) -> None:
    async with projection(harness, "one") as (one, _):
        await create_all(harness.store, [{**document, "userId": None} for document in documents(0, 3)])
        await one.run_pass()
    assert await harness.profiles.count() == 0


async def test_documents_that_are_no_events_keep_nobodys_profile_back(harness: Harness) -> None:
    strange = [
        {"id": "1", "partitionKey": "t1:2024-01", "userId": "u0", "payloadHash": "h", "acceptance": "a"},
        {**documents(2, 1)[0], "eventType": "purchase", "amount": "a lot"},
        {**documents(3, 1)[0], "userId": 7},
    ]
    async with projection(harness, "one") as (one, _):
        await create_all(harness.store, [*strange, *documents(10, 5)])
        await one.run_pass()
    assert await scores(harness) == [1] * 5


async def test_a_container_that_was_made_anew_is_read_from_its_beginning(harness: Harness) -> None:
    async with projection(harness, "one") as (one, ranges):
        await create_all(harness.store, documents(0, 50, users=50))
        await one.run_pass()
        await ranges.release()
    await harness.store.database.delete_container(harness.store.names.events)
    await harness.store.ensure()
    await create_all(harness.store, [{**document, "userId": "new"} for document in documents(0, 3)])
    async with projection(harness, "two") as (two, _):
        while await two.run_pass():
            pass
    (profile,) = await harness.profiles.top(user_id="new")
    assert profile.events == 3


async def test_a_pass_that_was_not_noted_is_repeated_without_effect(harness: Harness) -> None:
    await create_all(harness.store, documents(0, 50))
    async with projection(harness, "one") as (one, ranges):
        await one.run_pass()
        await ranges.release()
    for lease in await LeaseStore(harness.store).all():
        await LeaseStore(harness.store).remove(lease)
    async with projection(harness, "two") as (two, _):
        await two.run_pass()
        await create_all(harness.store, documents(50, 5))
        await two.run_pass()
    assert await scores(harness) == [11] * 5


async def test_an_owner_that_lost_its_range_without_noticing_does_no_harm(harness: Harness) -> None:
    async with projection(harness, "one") as (one, ranges), projection(harness, "two") as (two, _):
        await create_all(harness.store, documents(0, 50))
        await one.run_pass()
        stale = dict(ranges.owned)
        await ranges.release()
        ranges.owned = stale
        await create_all(harness.store, documents(50, 25))
        await two.run_pass()
        await create_all(harness.store, documents(75, 25))
        await asyncio.gather(one.run_pass(), two.run_pass())
        await two.run_pass()
        assert not ranges.owned
    assert await scores(harness) == [20] * 5


@pytest.mark.fault
async def test_a_store_that_fails_in_the_middle_of_a_pass_costs_no_score(harness: Harness) -> None:
    async with projection(harness, "one") as (one, _):
        await one.run_pass()
        await create_all(harness.store, documents(0, 500, users=200))
        harness.backends.cosmos.set_faults(failRatio=0.4)
        try:
            for _ in range(5):
                try:
                    await one.run_pass()
                except BackendError:
                    continue
        finally:
            harness.backends.cosmos.set_faults()
        await one.run_pass()
    assert sum(profile.score for profile in await harness.profiles.top(limit=1000)) == 500


async def test_a_single_pass_goes_through_many_pages(harness: Harness) -> None:
    await create_all(harness.store, documents(0, 3500, users=7))
    async with projection(harness, "one") as (one, _):
        await one.run_pass()
    assert await scores(harness) == [500] * 7


async def test_run_catches_up_and_gives_its_ranges_back_when_told_to_stop(harness: Harness) -> None:
    async with projection(harness, "one") as (one, _):
        stop = asyncio.Event()
        running = asyncio.create_task(one.run(stop))
        await create_all(harness.store, documents(0, 50))
        stop.set()
        await running
    assert await scores(harness) == [10] * 5
    assert [lease.owner for lease in await LeaseStore(harness.store).all()] == [""]
