"""What becomes of events, from the queue to the store, on real servers."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec
import pytest
from tests.worker.harness import Harness, add_to_cart, page_view, purchase

from cloudscale.cache.keys import keys_of
from cloudscale.queue.poison import DeadLetterReason
from cloudscale.store.errors import MissingContainerError
from cloudscale.worker.decoding import CartCheck

if TYPE_CHECKING:
    from cloudscale.store.batches import Document


async def test_events_are_stored_as_they_came_with_what_the_worker_adds(harness: Harness) -> None:
    (event,) = await harness.accept([page_view(color="red")])
    await harness.send([event])
    async with harness.worker():
        (stored,) = await harness.stored(1)
        await harness.settled()
    assert {name: stored[name] for name in event} == event
    assert stored["suspicious"] is False
    assert stored["processedAt"] >= event["receivedAt"]


async def test_events_of_several_tenants_and_months_are_stored_from_one_message(harness: Harness) -> None:
    events = await harness.accept(
        [
            page_view(tenantId=tenant, createdAt=f"2024-{month:02d}-15T12:00:00Z")
            for tenant in ("a", "b")
            for month in range(1, 13)
        ]
    )
    await harness.send(events)
    async with harness.worker():
        stored = await harness.stored(24)
    assert {event["partitionKey"] for event in stored} == {event["partitionKey"] for event in events}


async def test_a_message_that_is_delivered_again_stores_nothing_twice(harness: Harness) -> None:
    events = await harness.accept([page_view() for _ in range(3)])
    await harness.send(events)
    await harness.send(events)
    async with harness.worker():
        await harness.stored(3)
        await harness.emptied()
        await harness.settled()
    assert await harness.store.count() == 3
    assert await harness.counter("duplicates") == 0


async def test_a_retry_that_was_accepted_again_is_dropped_and_counted(harness: Harness) -> None:
    event = page_view(eventId="same")
    first = await harness.accept([event])
    second = await harness.accept([event])
    await harness.send([*first, *second])
    async with harness.worker():
        await harness.stored(1)
        await harness.settled()
    assert await harness.counter("duplicates") == 1
    assert await harness.store.count() == 1


BEFORE = datetime(2026, 5, 31, 23, 59, 58, tzinfo=UTC)
AFTER = datetime(2026, 6, 1, 0, 0, 2, tzinfo=UTC)


@pytest.mark.parametrize("order", [(BEFORE, AFTER), (AFTER, BEFORE)])
@pytest.mark.parametrize("is_one_message", [True, False])
@pytest.mark.parametrize("is_by_key", [True, False])
async def test_a_retry_over_the_end_of_a_month_is_dropped_and_counted(
    harness: Harness, order: tuple[datetime, datetime], *, is_one_message: bool, is_by_key: bool
) -> None:
    event, key = (page_view(), "k") if is_by_key else (page_view(eventId="same"), None)
    first, second = [await harness.accept([event], at=moment, key=key) for moment in order]
    assert first[0]["partitionKey"] != second[0]["partitionKey"]
    if is_one_message:
        await harness.send([*first, *second])
    else:
        await harness.send(first)
    async with harness.worker():
        (stored,) = await harness.stored(1)
        if not is_one_message:
            await harness.send(second)
        await harness.settled()
    assert await harness.counter("duplicates") == 1
    assert await harness.store.count() == 1
    assert "neighbourPartition" not in stored


async def test_an_attempt_long_before_the_end_of_a_month_is_found_from_the_next(harness: Harness) -> None:
    event = page_view(eventId="same")
    (early,) = await harness.accept([event], at=datetime(2026, 5, 30, 9, tzinfo=UTC))
    (late,) = await harness.accept([event], at=AFTER)
    # The later one stands first, and both are written in one go.
    await harness.send([late, early])
    async with harness.worker():
        (stored,) = await harness.stored(1)
        await harness.settled()
    assert stored["partitionKey"] == early["partitionKey"]


async def test_another_payload_under_an_id_of_the_month_before_is_a_conflict(harness: Harness) -> None:
    await harness.send(await harness.accept([page_view(eventId="same")], at=BEFORE))
    async with harness.worker():
        await harness.stored(1)
        await harness.send(await harness.accept([page_view(eventId="same", color="red")], at=AFTER))
        (letter,) = await harness.dead(1)
    assert letter.reason == DeadLetterReason.IDEMPOTENCY_CONFLICT
    assert await harness.store.count() == 1


async def test_a_copy_that_was_accepted_while_redis_was_away_is_counted_once(harness: Harness) -> None:
    event = page_view(eventId="same")
    await harness.send(await harness.accept([event]))
    (copy,) = await harness.accept([event])
    await harness.cache.delete(keys_of(harness.resource).inflight)
    unnamed = copy | {"acceptedUnnamed": True}
    await harness.send([unnamed])
    await harness.send([unnamed])
    async with harness.worker():
        await harness.stored(1)
        await harness.emptied()
    assert await harness.counter("duplicates") == 1


async def test_each_reason_for_poison_is_dead_lettered_alone_and_the_neighbours_are_stored(harness: Harness) -> None:
    good = await harness.accept([page_view(), purchase()])
    (conflicting,) = await harness.accept([page_view(eventId=good[0]["id"], url="https://shop.example/other")])
    (refused,) = await harness.accept([page_view()])
    poison: list[object] = [
        {**good[0], "id": "no-type", "eventType": None},
        "no object",
        {**good[0], "id": "unknown", "eventType": "teleport"},
        {**good[0], "id": "invalid", "url": 7},
        conflicting,
        # No id may have more than 1023 bytes, so the store refuses this one whatever its neighbours are.
        {**refused, "id": "a" * 1024},
    ]
    await harness.send([good[0], *poison, good[1]])
    async with harness.worker():
        stored = await harness.stored(2)
        letters = await harness.dead(6)
        await harness.emptied()
    assert {event["id"] for event in stored} == {event["id"] for event in good}
    assert sorted(letter.reason for letter in letters) == sorted(DeadLetterReason)
    assert all(letter.attempts >= 1 and letter.description for letter in letters)
    assert await harness.in_flight() == 1, "only the acceptance whose id was tampered with cannot be settled"
    assert await harness.counter("dead") == 1


@pytest.mark.parametrize("body", [b"{broken", b""])
async def test_an_unreadable_message_is_dead_lettered_whole(harness: Harness, body: bytes) -> None:
    await harness.send_body(body)
    async with harness.worker():
        (letter,) = await harness.dead(1)
    assert letter.reason == DeadLetterReason.DESERIALIZATION_FAILED


async def test_more_events_than_the_limit_from_one_address_are_flagged_with_one_alert(harness: Harness) -> None:
    events = await harness.accept([page_view() for _ in range(14)], address="192.0.2.7")
    for event in events:
        await harness.send([event])
    async with harness.worker():
        stored = await harness.stored(14)
        (alert,) = await harness.alerts(1)
    assert sum(event["suspicious"] for event in stored) == 4
    flagged = next(event for event in stored if event["suspicious"])
    assert flagged["fraud"].items() >= {"rule": "velocity", "limit": 10, "windowSeconds": 60.0}.items()
    assert (alert.kind, alert.client_address) == ("velocity", "192.0.2.7")


async def test_the_addresses_of_one_network_are_counted_together(harness: Harness) -> None:
    for host in range(12):
        await harness.send(await harness.accept([page_view()], address=f"2001:db8:0:1::{host:x}"))
    await harness.send(await harness.accept([page_view()], address="2001:db8:0:2::1"))
    async with harness.worker():
        stored = await harness.stored(13)
        (alert,) = await harness.alerts(1)
    assert sum(event["suspicious"] for event in stored) == 2
    assert str(alert.client_address).startswith("2001:db8:0:1::")


async def test_a_cart_without_a_purchase_raises_an_alert(harness: Harness) -> None:
    harness.processing["actions"] = {"cartAbandonment": {"after": "4s"}}
    bought, abandoned = await harness.accept([add_to_cart("buyer"), add_to_cart("leaver")])
    await harness.send([bought, abandoned])
    # Sent before the worker starts, so that a slow machine does not make the buyer one who buys too late.
    await harness.send(await harness.accept([purchase("buyer")]))
    async with harness.worker():
        (alert,) = await harness.alerts(1)
        await harness.emptied()
    assert (alert.kind, alert.user_id) == ("cart_abandoned", "leaver")
    assert alert.evidence == {"cartEventId": abandoned["id"], "since": abandoned["createdAt"]}


async def test_a_cart_check_that_the_store_refuses_takes_no_neighbour_along(harness: Harness) -> None:
    await harness.use_queue(maxDeliveryCount=2)
    # No partition key may have more than 2048 bytes, so the alert is refused whenever it is tried.
    check = CartCheck(
        tenant_id="t" * 2049,
        user_id="u",
        cart_event_id="e",
        since=datetime(2024, 5, 1, tzinfo=UTC),
        correlation_id="c",
    )
    await harness.send_body(msgspec.json.encode([check]))
    good = await harness.accept([page_view() for _ in range(3)])
    for event in good:
        await harness.send([event])
    async with harness.worker():
        await harness.stored(3)
        (letter,) = await harness.dead(1)
        await harness.emptied()
    assert letter.reason == DeadLetterReason.MAX_RETRIES_EXCEEDED
    assert "the store answered 400" in letter.description


async def test_a_container_that_somebody_deletes_is_created_anew_and_costs_no_event(harness: Harness) -> None:
    await harness.use_queue(maxDeliveryCount=1)
    async with harness.worker():
        await harness.send(await harness.accept([page_view()]))
        await harness.stored(1)
        for name in (harness.store.names.events, harness.store.names.alerts):
            await harness.store.database.delete_container(name)
        events = await harness.accept([page_view() for _ in range(12)], address="192.0.2.9")
        await harness.send(events)

        async def is_back() -> bool:
            try:
                return await harness.store.count() == len(events)
            except MissingContainerError:
                return False

        await harness.until(is_back)
        await harness.alerts(1)
        await harness.emptied()
    assert (await harness.administration.depth()).dead_letters == 0


async def test_a_replayed_dead_letter_is_stored_and_the_balance_stays(harness: Harness) -> None:
    (event,) = await harness.accept([page_view()])
    broken: Document = {**event, "url": 7}
    await harness.send([broken])
    async with harness.worker():
        (letter,) = await harness.dead(1)
    assert await harness.counter("dead") == 1
    async with harness.dead_letters() as letters:
        assert await letters.show(letter.sequence_number) == letter
        assert await letters.replay([letter.sequence_number]) == 1
        assert await letters.list() == []
    assert (await harness.in_flight(), await harness.counter("dead")) == (1, 0)
    async with harness.worker():
        await harness.dead(1)
        await harness.settled()
    assert await harness.counter("dead") == 1


async def test_a_discarded_dead_letter_stays_counted(harness: Harness) -> None:
    events = await harness.accept([page_view(), page_view()])
    await harness.send([{**event, "url": 7} for event in events])
    async with harness.worker():
        letters = await harness.dead(2)
    async with harness.dead_letters() as dead:
        assert await dead.discard([letters[0].sequence_number]) == 1
        assert [letter.sequence_number for letter in await dead.list()] == [letters[1].sequence_number]
        assert await dead.discard() == 1
    assert await harness.counter("dead") == 2
