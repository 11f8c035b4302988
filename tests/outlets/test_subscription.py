"""An outlet at work on a real store and a real receiver."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import msgspec
import pytest
from prometheus_client import REGISTRY
from tests.archive.archiving import events
from tests.outlets.receiving import new_secret, receiving
from tests.outlets.sending import Clock, outlet, send_all, subscribed
from tests.store.creating import create_all

from cloudscale.events.cloudevents import from_structured
from cloudscale.outlets.parked import ParkedEvents
from cloudscale.outlets.state import StateStore

if TYPE_CHECKING:
    from tests.outlets.receiving import ReceiverServer

    from cloudscale.pipeline import Store
    from cloudscale.settings import Settings
    from cloudscale.store.events import EventStore


async def test_an_event_reaches_the_receiver_signed(
    store: EventStore, spec: Store, settings: Settings, receiver: ReceiverServer
) -> None:
    await create_all(store, events(7, 1))
    async with subscribed(store, spec, settings, outlet(receiver), secret=receiver.secret) as subscription:
        await send_all(subscription)
    (event,) = receiver.events
    (request,) = receiver.requests
    assert request.headers["Content-Type"] == "application/cloudevents+json; charset=utf-8"
    data = event.pop("data")
    assert event == {
        "specversion": "1.0",
        "id": "e7",
        "source": "/cloudscale/default/shop/t1",
        "type": "com.cloudscale.purchase",
        "time": "2024-05-01T10:00:00.000000Z",
        "datacontenttype": "application/json",
        "subject": "u2",
        "tenantid": "t1",
    }
    assert data["properties"] == {"quantity": 7}
    assert not {"id", "partitionKey", "payloadHash", "acceptance", "_ts", "_lsn"} & set(data)
    assert from_structured(event | {"data": data})["eventId"] == "e7"


async def test_events_are_posted_in_batches_and_in_the_order_of_each_partition(
    store: EventStore, spec: Store, settings: Settings, receiver: ReceiverServer
) -> None:
    await create_all(store, events(0, 300))
    given = outlet(receiver, batch=100)
    async with subscribed(store, spec, settings, given, secret=receiver.secret) as subscription:
        await send_all(subscription)
        await send_all(subscription)
    assert sorted(receiver.ids()) == sorted(f"e{number}" for number in range(300))
    assert len(receiver.requests) < 10
    assert {request.headers["Content-Type"] for request in receiver.requests} == {
        "application/cloudevents-batch+json; charset=utf-8"
    }
    of_partition = defaultdict(list)
    for event in receiver.events:
        number = int(event["id"][1:])
        of_partition[events(number, 1)[0]["partitionKey"]].append(number)
    assert len(of_partition) > 3
    for numbers in of_partition.values():
        assert numbers == sorted(numbers)


async def test_only_what_the_filter_takes_is_sent(
    store: EventStore, spec: Store, settings: Settings, receiver: ReceiverServer
) -> None:
    await create_all(store, events(0, 6))
    await create_all(store, events(6, 6, suspicious=True))
    await create_all(store, events(12, 6, eventType="page_view"))
    given = outlet(receiver, filter={"eventTypes": ["purchase"], "suspicious": False, "tenants": ["t1", "t2"]})
    async with subscribed(store, spec, settings, given, secret=receiver.secret) as subscription:
        await send_all(subscription)
    assert sorted(receiver.ids()) == ["e1", "e2", "e4", "e5"]


async def test_an_outlet_begins_with_what_is_stored_from_now_on_unless_it_says_otherwise(
    store: EventStore, spec: Store, settings: Settings, receiver: ReceiverServer
) -> None:
    await create_all(store, events(0, 5))
    states = StateStore(store, "crm")
    # The feed counts in whole seconds.
    ahead = datetime.now(UTC) + timedelta(seconds=5)
    await states.change(lambda state: msgspec.structs.replace(state, begins_at=ahead))
    async with subscribed(store, spec, settings, outlet(receiver, start="Now"), secret=receiver.secret) as subscription:
        await send_all(subscription)
    assert receiver.ids() == []


async def test_each_of_several_secrets_signs(
    store: EventStore, spec: Store, settings: Settings, receiver: ReceiverServer
) -> None:
    await create_all(store, events(0, 1))
    both = f"{new_secret()} {receiver.secret}"
    async with subscribed(store, spec, settings, outlet(receiver), secret=both) as subscription:
        await send_all(subscription)
    assert receiver.ids() == ["e0"]
    assert receiver.requests[0].headers["webhook-signature"].count("v1,") == 2


async def test_a_receiver_that_is_down_for_an_hour_gets_everything_in_order(
    store: EventStore, spec: Store, settings: Settings, receiver: ReceiverServer
) -> None:
    clock = Clock()
    await create_all(store, events(0, 30))
    receiver.status = 503
    given = outlet(receiver, batch=10)
    async with subscribed(store, spec, settings, given, secret=receiver.secret, clock=clock) as subscription:
        for _ in range(60):
            await send_all(subscription)
            clock.move(minutes=1)
        assert 10 < len(receiver.requests) < 70
        state = await StateStore(store, "crm").read()
        assert state is not None
        assert {attempts.error for attempts in state.failing.values()} == {"answers 503"}
        receiver.status = 204
        clock.move(minutes=5)
        while len(receiver.events) < 30:
            await send_all(subscription)
        state = await StateStore(store, "crm").read()
        assert state is not None
        assert state.failing == {}
    assert sorted(receiver.ids()) == sorted(f"e{number}" for number in range(30))
    assert await ParkedEvents(store, "crm").count() == 0


async def test_retry_after_is_honoured(
    store: EventStore, spec: Store, settings: Settings, receiver: ReceiverServer
) -> None:
    clock = Clock()
    await create_all(store, events(0, 1))
    receiver.status, receiver.headers = 429, {"Retry-After": "1800"}
    async with subscribed(store, spec, settings, outlet(receiver), secret=receiver.secret, clock=clock) as subscription:
        await send_all(subscription)
        receiver.status = 204
        clock.move(minutes=29)
        await send_all(subscription)
        assert receiver.ids() == []
        clock.move(minutes=1)
        await send_all(subscription)
    assert receiver.ids() == ["e0"]


async def test_an_event_that_is_refused_for_a_day_is_parked_and_the_outlet_goes_on(
    store: EventStore, spec: Store, settings: Settings, receiver: ReceiverServer
) -> None:
    clock = Clock()
    receiver.refused = {"e3"}
    await create_all(store, events(0, 6, partitionKey="t0:2024-01", tenantId="t0"))
    async with subscribed(store, spec, settings, outlet(receiver), secret=receiver.secret, clock=clock) as subscription:
        await send_all(subscription)
        assert receiver.ids() == ["e0", "e1", "e2"]
        for _ in range(26):
            clock.move(minutes=59)
            await send_all(subscription)
        assert receiver.ids() == ["e0", "e1", "e2", "e4", "e5"]
    (event,) = await ParkedEvents(store, "crm").find(limit=10)
    assert (event.tenant_id, event.event_id, event.reason) == ("t0", "e3", "answers 500")
    assert event.event["properties"] == {"quantity": 3}


async def test_a_receiver_that_fails_for_ever_parks_one_request_after_the_other(
    store: EventStore, spec: Store, settings: Settings, receiver: ReceiverServer
) -> None:
    clock = Clock()
    receiver.status = 500
    await create_all(store, events(0, 6, partitionKey="t0:2024-01", tenantId="t0"))
    given = outlet(receiver, batch=2, retryFor="1h")
    async with subscribed(store, spec, settings, given, secret=receiver.secret, clock=clock) as subscription:
        for _ in range(80):
            await send_all(subscription)
            clock.move(minutes=1)
    assert sorted(each.event_id for each in await ParkedEvents(store, "crm").find(limit=10)) == [
        f"e{number}" for number in range(6)
    ]


async def test_a_receiver_that_answers_410_ends_the_subscription(
    store: EventStore, spec: Store, settings: Settings, receiver: ReceiverServer
) -> None:
    receiver.status = 410
    await create_all(store, events(0, 3))
    async with subscribed(store, spec, settings, outlet(receiver), secret=receiver.secret) as subscription:
        await send_all(subscription)
        await subscription.look()
        await send_all(subscription)
    assert len(receiver.requests) == 1
    state = await StateStore(store, "crm").read()
    assert state is not None
    assert state.ended_at is not None
    assert not state.is_sending


async def test_a_receiver_that_is_away_delays_no_other_outlet(
    store: EventStore, spec: Store, settings: Settings, receiver: ReceiverServer
) -> None:
    await create_all(store, events(0, 10))
    async with receiving() as other:
        away = outlet(receiver, name="away")
        here = outlet(other, name="here", batch=10)
        receiver.status = 500
        async with (
            subscribed(store, spec, settings, away, secret=receiver.secret) as failing,
            subscribed(store, spec, settings, here, secret=other.secret) as taking,
        ):
            await send_all(failing)
            await send_all(taking)
            await send_all(taking)
        assert len(other.events) == 10
    assert receiver.events == []


async def test_a_process_goes_on_where_another_ended(
    store: EventStore, spec: Store, settings: Settings, receiver: ReceiverServer
) -> None:
    given = outlet(receiver, batch=10)
    for first in (0, 10):
        await create_all(store, events(first, 10))
        async with subscribed(store, spec, settings, given, secret=receiver.secret) as subscription:
            await send_all(subscription)
            await send_all(subscription)
    assert sorted(receiver.ids()) == sorted(f"e{number}" for number in range(20))


async def test_a_rewound_outlet_sends_again_what_was_stored_since(
    store: EventStore, spec: Store, settings: Settings, receiver: ReceiverServer
) -> None:
    await create_all(store, events(0, 10))
    async with subscribed(store, spec, settings, outlet(receiver, batch=10), secret=receiver.secret) as subscription:
        await send_all(subscription)
        await send_all(subscription)
        assert len(receiver.events) == 10
        to = datetime.now(UTC) - timedelta(minutes=1)
        await StateStore(store, "crm").change(lambda state: msgspec.structs.replace(state, rewind_to=to))
        await subscription.look()
        await send_all(subscription)
        await send_all(subscription)
    assert sorted(receiver.ids()) == sorted(2 * [f"e{number}" for number in range(10)])


@pytest.mark.parametrize("is_before_the_first", [True, False])
async def test_a_paused_outlet_sends_nothing(
    store: EventStore, spec: Store, settings: Settings, receiver: ReceiverServer, *, is_before_the_first: bool
) -> None:
    states = StateStore(store, "crm")

    async def pause(*, paused: bool) -> None:
        await states.change(lambda state: msgspec.structs.replace(state, paused=paused))

    if is_before_the_first:
        await pause(paused=True)
    async with subscribed(store, spec, settings, outlet(receiver), secret=receiver.secret) as subscription:
        await pause(paused=True)
        await subscription.look()
        await create_all(store, events(0, 1))
        await send_all(subscription)
        assert receiver.requests == []
        await pause(paused=False)
        await subscription.look()
        await send_all(subscription)
    assert receiver.ids() == ["e0"]


async def test_a_parked_event_that_somebody_wants_is_sent_again(
    store: EventStore, spec: Store, settings: Settings, receiver: ReceiverServer
) -> None:
    clock = Clock()
    receiver.refused = {"e0"}
    await create_all(store, events(0, 1))
    given = outlet(receiver, retryFor="1s")
    parked_events = ParkedEvents(store, "crm")
    async with subscribed(store, spec, settings, given, secret=receiver.secret, clock=clock) as subscription:
        await send_all(subscription)
        clock.move(seconds=1)
        await send_all(subscription)
        (event,) = await parked_events.find(limit=10)
        await parked_events.put([msgspec.structs.replace(event, is_wanted=True)])
        await subscription.look()
        (event,) = await parked_events.find(limit=10)
        assert (event.is_wanted, event.attempts) == (False, 3)
        receiver.refused = set()
        await parked_events.put([msgspec.structs.replace(event, is_wanted=True)])
        await subscription.look()
    assert receiver.ids() == ["e0"]
    assert await parked_events.count() == 0


async def test_the_lag_is_the_time_since_everything_stored_was_sent(
    store: EventStore, spec: Store, settings: Settings, receiver: ReceiverServer
) -> None:
    async with subscribed(store, spec, settings, outlet(receiver), secret=receiver.secret) as subscription:
        assert subscription.passes.lag(datetime.now(UTC)) is None
        await send_all(subscription)
        later = datetime.now(UTC) + timedelta(hours=1)
        lag = subscription.passes.lag(later)
        assert lag is not None
        assert timedelta(hours=1) <= lag < timedelta(hours=1, minutes=1)
        receiver.status = 500
        await create_all(store, events(0, 4))
        await send_all(subscription)
        behind = subscription.passes.lag(later)
        await send_all(subscription)
        assert behind == subscription.passes.lag(later)
        subscription.passes.show_lag()
    shown = REGISTRY.get_sample_value("cloudscale_follower_lag_seconds", {"follower": "outlet-crm"})
    assert shown is not None
    assert shown >= 0
