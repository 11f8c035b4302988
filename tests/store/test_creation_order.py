from __future__ import annotations

import uuid
import zlib
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from msgspec import structs
from tests.store.creating import create_all
from tests.store.test_events import document

from cloudscale.events.enrichment import partition_key
from cloudscale.events.timestamps import as_utc
from cloudscale.store.creation_order import MONTHS_PER_PAGE, CreationFilter
from cloudscale.store.events import EventStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from cloudscale.pipeline import Store
    from cloudscale.settings import Settings
    from cloudscale.store.creation_order import Place

START = datetime(2024, 1, 31, 23, 59, 59, 999_998, tzinfo=UTC)


@pytest.fixture
async def bucketed(spec: Store, settings: Settings) -> AsyncIterator[EventStore]:
    """A store whose tenants have three partitions a month."""
    async with EventStore(structs.replace(spec, partition_buckets=3), settings) as opened:
        await opened.ensure()
        yield opened


def created(event_id: str, at: datetime, *, tenant: str = "t1", buckets: int = 1, **fields: Any) -> dict[str, Any]:
    """An event as it is stored."""
    created_at = as_utc(at)
    key = partition_key(tenant, created_at, event_id=event_id, buckets=buckets)
    return document(event_id, tenantId=tenant, createdAt=created_at, partitionKey=key, **fields)


async def pages_of(
    store: EventStore, tenant: str, which: CreationFilter, *, limit: int
) -> tuple[list[dict[str, Any]], int]:
    """All events of all pages, and how many pages there are."""
    found: list[dict[str, Any]] = []
    after: Place | None = None
    pages = 0
    while pages == 0 or after is not None:
        page = await store.find_by_creation(tenant, which, limit=limit, after=after)
        assert len(page.documents) <= limit
        found += page.documents
        after = page.following
        pages += 1
        assert pages < 100
    return found, pages


def expected(stored: list[dict[str, Any]], tenant: str, which: CreationFilter) -> list[tuple[str, str]]:
    """Times and ids of those of the stored events that match, in their order."""
    matching = [
        (each["createdAt"], each["id"])
        for each in stored
        if each["tenantId"] == tenant
        and which.event_id in (None, each["id"])
        and which.user_id in (None, each.get("userId"))
        and which.event_type in (None, each["eventType"])
        and which.suspicious in (None, each.get("suspicious"))
        and (which.since is None or each["createdAt"] >= as_utc(which.since))
        and (which.until is None or each["createdAt"] < as_utc(which.until))
    ]
    matching.sort()
    return sorted(matching, key=lambda pair: pair[0], reverse=which.newest_first)


MOMENTS = st.sampled_from(
    [START + timedelta(microseconds=step) for step in range(4)]
    + [START + timedelta(days=days) for days in (1, 40, 41, 200, 600)]
    + [datetime(2101, 1, 1, tzinfo=UTC) - timedelta(microseconds=1), datetime(1970, 1, 1, tzinfo=UTC)]
)
EVENTS = st.lists(
    st.tuples(
        MOMENTS, st.sampled_from(["t1", "t2", "t1.x"]), st.sampled_from(["u1", "u2"]), st.sampled_from(["a", "b"])
    ),
    max_size=25,
)
FILTERS = st.builds(
    CreationFilter,
    user_id=st.sampled_from([None, None, "u1", "nobody"]),
    event_type=st.sampled_from([None, None, "a"]),
    suspicious=st.sampled_from([None, None, True, False]),
    since=st.none() | MOMENTS,
    until=st.none() | MOMENTS,
    newest_first=st.booleans(),
)


@pytest.mark.parametrize("buckets", [1, 3])
@hypothesis_settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(events=EVENTS, filters=st.lists(FILTERS, min_size=1, max_size=3), limit=st.integers(1, 9))
async def test_pages_together_are_all_that_matches_once_and_in_order(
    spec: Store,
    settings: Settings,
    buckets: int,
    events: list[tuple[datetime, str, str, str]],
    filters: list[CreationFilter],
    limit: int,
) -> None:
    own = structs.replace(spec, database=f"d{uuid.uuid4().hex[:12]}", partition_buckets=buckets)
    async with EventStore(own, settings) as store:
        await store.ensure()
        stored = [
            created(
                f"e{number:02}",
                moment,
                tenant=tenant,
                buckets=buckets,
                userId=user,
                eventType=kind,
                suspicious=zlib.crc32(f"{number}".encode()) % 2 == 0,
            )
            for number, (moment, tenant, user, kind) in enumerate(events)
        ]
        await create_all(store, stored)
        for which in filters:
            for tenant in ("t1", "t2"):
                found, _ = await pages_of(store, tenant, which, limit=limit)
                assert {each["tenantId"] for each in found} <= {tenant}
                assert [(each["createdAt"], each["id"]) for each in found] == expected(stored, tenant, which)


@pytest.mark.parametrize("newest_first", [True, False])
async def test_events_of_one_moment_stand_by_their_ids(bucketed: EventStore, newest_first: bool) -> None:
    ids = [f"{number:02}" for number in range(20)]
    await create_all(bucketed, [created(each, START, buckets=3) for each in ids])

    found, pages = await pages_of(bucketed, "t1", CreationFilter(newest_first=newest_first), limit=3)

    assert ([each["id"] for each in found], pages) == (ids, 7)


@pytest.mark.parametrize("newest_first", [True, False])
async def test_a_page_looks_into_so_many_months_and_goes_on_in_the_next(
    store: EventStore,
    newest_first: bool,
) -> None:
    moments = [START.replace(day=1, year=2001 + year) for year in range(MONTHS_PER_PAGE + 1)]
    await create_all(store, [created(f"e{moment.year}", moment) for moment in moments])
    which = CreationFilter(newest_first=newest_first)

    first = await store.find_by_creation("t1", which, limit=100)
    assert len(first.documents) == MONTHS_PER_PAGE
    assert first.following is not None
    second = await store.find_by_creation("t1", which, limit=100, after=first.following)

    assert len(second.documents) == 1
    assert second.following is None


async def test_events_that_come_meanwhile_neither_hide_nor_repeat_any(store: EventStore) -> None:
    before = [created(f"e{number:02}", START + timedelta(minutes=number)) for number in range(20)]
    await create_all(store, before)
    found: list[str] = []
    after: Place | None = None
    for round_ in range(100):
        page = await store.find_by_creation("t1", CreationFilter(), limit=3, after=after)
        found += [each["id"] for each in page.documents]
        after = page.following
        if after is None:
            break
        newer = [created(f"new-{round_}", START + timedelta(days=1, minutes=round_))]
        between = [created(f"late-{round_}", START + timedelta(seconds=round_))]
        await create_all(store, newer + between)

    assert len(found) == len(set(found))
    assert {each["id"] for each in before} <= set(found)
    assert not [each for each in found if each.startswith("new")]


async def test_nothing_follows_the_last_event(store: EventStore) -> None:
    await create_all(store, [created(f"e{number}", START) for number in range(4)])

    page = await store.find_by_creation("t1", CreationFilter(), limit=4)

    assert (len(page.documents), page.following) == (4, None)
