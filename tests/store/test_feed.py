from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st
from tests.store.creating import create_all

from cloudscale.store.feed import EventFeed
from cloudscale.store.feed_range import FeedRange

if TYPE_CHECKING:
    from cloudscale.pipeline import Store
    from cloudscale.settings import Settings
    from cloudscale.store.events import EventStore

hexadecimal = st.text("0123456789ABCDEF", min_size=2, max_size=8)


@given(hexadecimal, hexadecimal)
def test_a_range_is_named_by_its_bounds(lower: str, upper: str) -> None:
    for of in (FeedRange(lower, upper), FeedRange("", upper)):
        assert FeedRange.of(of.id).id == of.id


def test_a_range_contains_itself_and_its_parts() -> None:
    whole, half = FeedRange("", "FF"), FeedRange("80", "FF")
    assert whole.contains(whole)
    assert whole.contains(half)
    assert not half.contains(whole)
    assert not half.contains(FeedRange("", "80"))


async def test_all_ranges_together_have_every_event_once_in_the_order_of_writing(
    store: EventStore, spec: Store, settings: Settings
) -> None:
    documents = [
        {"id": str(number), "partitionKey": f"t{number % 9}", "payloadHash": "h", "acceptance": "a", "number": number}
        for number in range(300)
    ]
    for start in range(0, 300, 60):
        await create_all(store, documents[start : start + 60])
    seen: list[str] = []
    async with EventFeed(spec, settings) as feed:
        ranges = await feed.ranges()
        assert len(ranges) == 2
        for of in ranges:
            page = await feed.read(of, continuation=None, limit=50)
            reached = -1
            while page.events:
                numbers = [event["_lsn"] for event in page.events]
                assert numbers == sorted(numbers)
                assert numbers[0] > reached
                reached = numbers[-1]
                seen += [event["id"] for event in page.events]
                page = await feed.read(of, continuation=page.continuation, limit=50)
            assert (await feed.read(of, continuation=page.continuation, limit=50)).events == []
    assert sorted(seen, key=int) == [str(number) for number in range(300)]


async def test_who_begins_at_a_point_in_time_reads_on_from_there(
    store: EventStore, spec: Store, settings: Settings
) -> None:
    documents = [
        {"id": str(number), "partitionKey": "t1", "payloadHash": "h", "acceptance": "a"} for number in range(200)
    ]
    since = datetime.now(UTC) - timedelta(minutes=5)
    for start in range(0, 200, 20):
        await create_all(store, documents[start : start + 20])
    seen: list[str] = []
    async with EventFeed(spec, settings) as feed:
        for of in await feed.ranges():
            page = await feed.read(of, continuation=None, since=since, limit=50)
            while page.events:
                seen += [event["id"] for event in page.events]
                page = await feed.read(of, continuation=page.continuation, since=since, limit=50)
    assert sorted(seen, key=int) == [str(number) for number in range(200)]
