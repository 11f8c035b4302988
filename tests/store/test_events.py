from __future__ import annotations

import time
import uuid
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from tests.store.creating import create_all
from tests.waiting import wait_until

from cloudscale.errors import BackendUnavailableError
from cloudscale.store.counting import StoredEvents, count_by_tenant_and_hour
from cloudscale.store.events import CreateOutcome, EventStore, compare
from cloudscale.store.latest import EventFilter, position_of

if TYPE_CHECKING:
    from tests.servers.cosmos import CosmosServer

CREATED, REDELIVERED = CreateOutcome.CREATED, CreateOutcome.REDELIVERED
DUPLICATE, CONFLICT = CreateOutcome.DUPLICATE, CreateOutcome.CONFLICT

by_each_protocol = pytest.mark.parametrize("spec", ["Rest", "Sdk"], indirect=True)


def document(event_id: str = "", **fields: Any) -> dict[str, Any]:
    return {
        "id": event_id or uuid.uuid4().hex,
        "partitionKey": "t1:2024-05",
        "tenantId": "t1",
        "eventType": "page_view",
        "payloadHash": "h1",
        "acceptance": "a1",
        "correlationId": "c1",
        "createdAt": "2024-05-01T10:00:00.000000Z",
        "receivedAt": "2024-05-01T10:00:00.000000Z",
        **fields,
    }


async def until_the_next_second() -> None:
    """Wait for the clock that documents are stamped by."""
    now = int(time.time())

    async def is_over() -> bool:
        return int(time.time()) > now

    await wait_until(is_over, within=timedelta(seconds=2))


@by_each_protocol
async def test_the_same_acceptance_is_a_redelivery_another_one_a_duplicate(store: EventStore) -> None:
    assert await create_all(store, [document("e")]) == [CREATED]
    assert await create_all(store, [document("e")]) == [REDELIVERED]
    assert await create_all(store, [document("e", acceptance="a2")]) == [DUPLICATE]


@by_each_protocol
async def test_another_payload_under_a_stored_id_is_a_conflict(store: EventStore) -> None:
    await create_all(store, [document("e")])
    assert await create_all(store, [document("e", payloadHash="h2")]) == [CONFLICT]


@by_each_protocol
async def test_the_rest_of_a_batch_with_stored_ids_is_written(store: EventStore) -> None:
    await create_all(store, [document("1"), document("3")])
    batch = [document("0"), document("1"), document("2"), document("3", acceptance="a2"), document("4")]
    assert await create_all(store, batch) == [CREATED, REDELIVERED, CREATED, DUPLICATE, CREATED]
    assert await store.count() == 5


@by_each_protocol
@hypothesis_settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
async def test_writing_any_mix_again_stores_each_id_once_with_its_first_payload(
    store: EventStore, data: st.DataObject
) -> None:
    scope = uuid.uuid4().hex
    known: dict[str, dict[str, Any]] = {}
    for _ in range(3):
        ids = data.draw(st.lists(st.integers(0, 30), unique=True, max_size=20))
        batch = [
            document(
                f"{scope}-{number}",
                payloadHash=data.draw(st.sampled_from(["h1", "h2"])),
                acceptance=data.draw(st.sampled_from(["a1", "a2"])),
                partitionKey=f"{scope}:{number % 3}",
            )
            for number in ids
        ]
        expected = [compare(each, known[each["id"]]) if each["id"] in known else CREATED for each in batch]
        assert await create_all(store, batch) == expected
        for each in batch:
            known.setdefault(each["id"], each)
    for each in known.values():
        (stored,) = await store.find_events(EventFilter(event_id=each["id"]))
        assert stored["payloadHash"] == each["payloadHash"]


@by_each_protocol
async def test_documents_with_any_text_come_back_as_they_were(store: EventStore) -> None:
    text = 'naïve 漢字 🙂 \\ " \u2028'
    await create_all(store, [document("e", note=text)])
    (stored,) = await store.find_events(EventFilter(event_id="e"))
    assert stored["note"] == text


async def test_events_are_found_by_each_field_of_the_filter(store: EventStore) -> None:
    await create_all(
        store,
        [
            document("1"),
            document("2", correlationId="c2"),
            document("3", tenantId="t2", partitionKey="t2:2024-05"),
            document("4", userId="u4"),
            document("5", eventType="purchase"),
            document("6", receivedAt="2024-05-02T10:00:00.000000Z"),
        ],
    )

    async def ids(which: EventFilter) -> set[str]:
        return {event["id"] for event in await store.find_events(which)}

    assert await ids(EventFilter(event_id="1")) == {"1"}
    assert await ids(EventFilter(correlation_id="c2")) == {"2"}
    assert await ids(EventFilter(tenant_id="t2")) == {"3"}
    assert await ids(EventFilter(user_id="u4")) == {"4"}
    assert await ids(EventFilter(event_type="purchase")) == {"5"}
    assert await ids(EventFilter(since=datetime(2024, 5, 2, tzinfo=UTC))) == {"6"}
    assert await ids(EventFilter(until=datetime(2024, 5, 2, tzinfo=UTC), tenant_id="t1")) == {"1", "2", "4", "5"}


async def test_the_last_stored_are_found_first_up_to_the_limit(store: EventStore) -> None:
    await create_all(store, [document(f"{number}") for number in range(6)])
    await until_the_next_second()
    await create_all(store, [document(f"new-{number}") for number in (2, 1, 3)])
    found = await store.find_events(EventFilter(), limit=5)
    assert [event["id"] for event in found] == ["new-1", "new-2", "new-3", "0", "1"]


@pytest.mark.parametrize("limit", [1, 3, 7, 100])
async def test_pages_hold_each_event_once_whatever_their_size(store: EventStore, limit: int) -> None:
    for part in range(3):
        await create_all(store, [document(f"{part}-{number:02}") for number in range(7)])
        await until_the_next_second()
    pages: list[dict[str, Any]] = []
    while page := await store.find_events(
        EventFilter(tenant_id="t1"), limit=limit, after=position_of(pages[-1]) if pages else None
    ):
        pages += page
    assert [event["id"] for event in pages] == [f"{part}-{number:02}" for part in (2, 1, 0) for number in range(7)]


async def test_events_are_counted_by_tenant_and_hour(store: EventStore) -> None:
    await create_all(
        store,
        [
            document(receivedAt="2024-05-01T10:00:00.000000Z"),
            document(receivedAt="2024-05-01T10:59:59.999999Z"),
            document(receivedAt="2024-05-01T11:00:00.000000Z"),
            document(tenantId="t2", partitionKey="t2:2024-05"),
            document(tenantId="t3", partitionKey="t3:2024-05", acceptedUnnamed=True),
            document(tenantId="t4", partitionKey="t4:2024-05"),
        ],
    )
    hours = [("t1", "2024-05-01T10"), ("t1", "2024-05-01T11"), ("t2", "2024-05-01T10"), ("t2", "2024-05-01T11")]
    counted = await count_by_tenant_and_hour(store, hours)
    assert counted == {hour: StoredEvents(named=number) for hour, number in zip(hours, [2, 1, 1, 0], strict=True)}
    assert await count_by_tenant_and_hour(store, hours[:2]) == {hour: counted[hour] for hour in hours[:2]}
    together = await count_by_tenant_and_hour(store, [*hours, ("", "2024-05-01T10")], together="")
    assert together == {**counted, ("", "2024-05-01T10"): StoredEvents(named=1, unnamed=1)}


async def test_stored_events_are_told_from_missing_ones_over_many_queries(store: EventStore) -> None:
    documents = [document(str(number)) for number in range(250)]
    await create_all(store, documents)
    asked = [("t1", str(number)) for number in range(500)] + [("t2", "1")]
    assert await store.acceptances(asked) == {("t1", each["id"]): {each["acceptance"]} for each in documents}


async def test_an_event_that_is_not_there_is_not_found(store: EventStore) -> None:
    assert await store.find_events(EventFilter(event_id="nothing")) == []


@by_each_protocol
@pytest.mark.fault
async def test_a_store_that_fails_is_unavailable_and_does_not_accept_writes(
    store: EventStore, cosmos: CosmosServer
) -> None:
    assert await store.accepts_writes()
    cosmos.set_faults(failRatio=1.0)
    try:
        with pytest.raises(BackendUnavailableError, match="write 1 events"):
            await create_all(store, [document()])
        assert not await store.accepts_writes()
    finally:
        cosmos.set_faults()
    assert await create_all(store, [document()]) == [CREATED]


async def test_containers_that_are_there_stay_as_they_are(store: EventStore) -> None:
    await create_all(store, [document("e")])
    await store.ensure()
    assert await store.count() == 1
