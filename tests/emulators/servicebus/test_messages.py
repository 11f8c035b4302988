"""Sending, receiving and settling with the real SDK."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING

import pytest
from azure.servicebus import ServiceBusMessage, ServiceBusReceivedMessage, ServiceBusReceiveMode, ServiceBusSubQueue
from azure.servicebus.exceptions import (
    MessageLockLostError,
    MessageNotFoundError,
    MessageSizeExceededError,
    MessagingEntityNotFoundError,
    ServiceBusError,
    ServiceBusQuotaExceededError,
)
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from azure.servicebus.aio import ServiceBusClient, ServiceBusReceiver
    from azure.servicebus.management import ServiceBusAdministrationClient

WAIT_SECONDS = 10
SHORT_LOCK = datetime.timedelta(seconds=1)


async def send(client: ServiceBusClient, queue: str, *messages: ServiceBusMessage) -> None:
    async with client.get_queue_sender(queue) as sender:
        await sender.send_messages(list(messages) if len(messages) > 1 else messages[0])


async def receive_one(receiver: ServiceBusReceiver) -> ServiceBusReceivedMessage:
    (message,) = await receiver.receive_messages(1, max_wait_time=WAIT_SECONDS)
    return message


async def receive_dead(client: ServiceBusClient, queue: str) -> ServiceBusReceivedMessage:
    async with client.get_queue_receiver(queue, sub_queue=ServiceBusSubQueue.DEAD_LETTER) as receiver:
        message = await receive_one(receiver)
        await receiver.complete_message(message)
        return message


async def test_a_message_arrives_with_all_its_properties(client: ServiceBusClient, queue: str) -> None:
    sent = ServiceBusMessage(
        b"\x00body",
        message_id="one",
        correlation_id="two",
        content_type="application/json",
        subject="three",
        reply_to="four",
        application_properties={"text": "value", "number": 7, "flag": True},
    )
    await send(client, queue, sent)
    async with client.get_queue_receiver(queue) as receiver:
        message = await receive_one(receiver)
        assert message.locked_until_utc is not None
        assert message.locked_until_utc > datetime.datetime.now(datetime.UTC)
        await receiver.complete_message(message)
    assert b"".join(message.body) == b"\x00body"
    assert (message.message_id, message.correlation_id, message.subject) == ("one", "two", "three")
    assert (message.content_type, message.reply_to) == ("application/json", "four")
    assert message.application_properties == {b"text": b"value", b"number": 7, b"flag": True}
    assert message.sequence_number == 1
    assert message.enqueued_time_utc is not None


async def test_messages_arrive_in_the_order_in_which_they_were_sent(client: ServiceBusClient, queue: str) -> None:
    await send(client, queue, *(ServiceBusMessage(str(number)) for number in range(100)))
    received: list[str] = []
    async with client.get_queue_receiver(queue, prefetch_count=20) as receiver:
        while len(received) < 100:
            for message in await receiver.receive_messages(50, max_wait_time=WAIT_SECONDS):
                received.append(str(message))
                await receiver.complete_message(message)
    assert received == [str(number) for number in range(100)]


async def test_a_batch_is_taken_apart(client: ServiceBusClient, queue: str) -> None:
    async with client.get_queue_sender(queue) as sender:
        batch = await sender.create_message_batch()
        for number in range(10):
            batch.add_message(ServiceBusMessage(str(number) * 400))
        await sender.send_messages(batch)
    async with client.get_queue_receiver(queue, receive_mode=ServiceBusReceiveMode.RECEIVE_AND_DELETE) as receiver:
        received: list[str] = []
        while len(received) < 10:
            received += [str(item) for item in await receiver.receive_messages(10, max_wait_time=WAIT_SECONDS)]
    assert received == [str(number) * 400 for number in range(10)]


async def test_a_message_of_nearly_a_megabyte_crosses_in_several_frames(client: ServiceBusClient, queue: str) -> None:
    body = bytes(range(256)) * 4000
    await send(client, queue, ServiceBusMessage(body))
    async with client.get_queue_receiver(queue) as receiver:
        message = await receive_one(receiver)
        await receiver.complete_message(message)
    assert b"".join(message.body) == body


async def test_a_message_above_a_megabyte_is_refused(client: ServiceBusClient, queue: str) -> None:
    with pytest.raises(MessageSizeExceededError):
        await send(client, queue, ServiceBusMessage(b"x" * 1_100_000))


async def test_receive_and_delete_leaves_nothing(
    client: ServiceBusClient, queue: str, administration: ServiceBusAdministrationClient
) -> None:
    await send(client, queue, ServiceBusMessage("once"))
    async with client.get_queue_receiver(queue, receive_mode=ServiceBusReceiveMode.RECEIVE_AND_DELETE) as receiver:
        assert str(await receive_one(receiver)) == "once"
    assert administration.get_queue_runtime_properties(queue).total_message_count == 0


async def test_an_abandoned_message_returns_at_once_and_counts(client: ServiceBusClient, queue: str) -> None:
    await send(client, queue, ServiceBusMessage("again"))
    async with client.get_queue_receiver(queue) as receiver:
        for count in range(3):
            message = await receive_one(receiver)
            assert message.delivery_count == count
            await receiver.abandon_message(message)


async def test_a_locked_message_returns_after_its_lock_expires(
    client: ServiceBusClient, make_queue: Callable[..., str]
) -> None:
    queue = make_queue(lock_duration=SHORT_LOCK)
    await send(client, queue, ServiceBusMessage("slow"))
    async with client.get_queue_receiver(queue) as receiver:
        first = await receive_one(receiver)
        second = await receive_one(receiver)
        assert (first.delivery_count, second.delivery_count) == (0, 1)
        assert first.lock_token != second.lock_token
        await receiver.complete_message(second)


async def test_completing_after_the_lock_expired_says_so(
    client: ServiceBusClient, make_queue: Callable[..., str]
) -> None:
    queue = make_queue(lock_duration=SHORT_LOCK)
    await send(client, queue, ServiceBusMessage("late"))
    async with client.get_queue_receiver(queue) as receiver:
        first = await receive_one(receiver)
        second = await receive_one(receiver)
        with pytest.raises(MessageLockLostError):
            await receiver.complete_message(first)
        await receiver.complete_message(second)


async def test_a_renewed_lock_holds_longer(client: ServiceBusClient, make_queue: Callable[..., str]) -> None:
    queue = make_queue(lock_duration=datetime.timedelta(seconds=2))
    await send(client, queue, ServiceBusMessage("renewed"))
    async with client.get_queue_receiver(queue) as receiver:
        message = await receive_one(receiver)
        before = message.locked_until_utc
        assert before is not None

        async def past_the_first_lock() -> bool:
            await receiver.renew_message_lock(message)
            return datetime.datetime.now(datetime.UTC) > before

        await wait_until(past_the_first_lock, within=datetime.timedelta(seconds=WAIT_SECONDS))
        await receiver.complete_message(message)


async def test_too_many_deliveries_lead_to_the_dead_letter_queue(
    client: ServiceBusClient, make_queue: Callable[..., str]
) -> None:
    queue = make_queue(max_delivery_count=2)
    await send(client, queue, ServiceBusMessage("poison"))
    async with client.get_queue_receiver(queue) as receiver:
        for _ in range(2):
            await receiver.abandon_message(await receive_one(receiver))
    dead = await receive_dead(client, queue)
    assert dead.dead_letter_reason == "MaxDeliveryCountExceeded"
    assert dead.dead_letter_source == queue


async def test_a_message_is_dead_lettered_with_reason_and_description(client: ServiceBusClient, queue: str) -> None:
    await send(client, queue, ServiceBusMessage("bad", application_properties={"attempt": 3}))
    async with client.get_queue_receiver(queue) as receiver:
        message = await receive_one(receiver)
        await receiver.dead_letter_message(message, reason="ValidationFailed", error_description="amount < 0")
    dead = await receive_dead(client, queue)
    assert (dead.dead_letter_reason, dead.dead_letter_error_description) == ("ValidationFailed", "amount < 0")
    assert dead.application_properties is not None
    assert dead.application_properties[b"attempt"] == 3
    assert str(dead) == "bad"


async def test_a_deferred_message_is_found_by_its_number_only(client: ServiceBusClient, queue: str) -> None:
    await send(client, queue, ServiceBusMessage("aside"), ServiceBusMessage("next"))
    async with client.get_queue_receiver(queue) as receiver:
        message = await receive_one(receiver)
        await receiver.defer_message(message)
        following = await receive_one(receiver)
        assert str(following) == "next"
        await receiver.complete_message(following)
        assert message.sequence_number is not None
        (deferred,) = await receiver.receive_deferred_messages(message.sequence_number)
        assert str(deferred) == "aside"
        await receiver.complete_message(deferred)
        with pytest.raises(MessageNotFoundError):
            await receiver.receive_deferred_messages(message.sequence_number)


async def test_a_scheduled_message_waits_for_its_time(client: ServiceBusClient, queue: str) -> None:
    async with client.get_queue_sender(queue) as sender, client.get_queue_receiver(queue) as receiver:
        # Opens the link to $management: that must not take up the time until the message is due.
        assert await receiver.peek_messages() == []
        due = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=3)
        (number,) = await sender.schedule_messages(ServiceBusMessage("later"), due)
        (peeked,) = await receiver.peek_messages()
        assert peeked.sequence_number == number
        message = await receive_one(receiver)
        assert datetime.datetime.now(datetime.UTC) >= due - datetime.timedelta(milliseconds=50)
        assert message.sequence_number != number
        await receiver.complete_message(message)


async def test_a_cancelled_message_never_comes(client: ServiceBusClient, queue: str) -> None:
    due = datetime.datetime.now(datetime.UTC) + datetime.timedelta(hours=1)
    async with client.get_queue_sender(queue) as sender, client.get_queue_receiver(queue) as receiver:
        numbers = await sender.schedule_messages([ServiceBusMessage("a"), ServiceBusMessage("b")], due)
        await sender.cancel_scheduled_messages(numbers)
        assert await receiver.peek_messages() == []
        with pytest.raises(MessageNotFoundError):
            await sender.cancel_scheduled_messages(numbers)


async def test_peek_shows_messages_without_locking_them(client: ServiceBusClient, queue: str) -> None:
    await send(client, queue, *(ServiceBusMessage(str(number)) for number in range(5)))
    async with client.get_queue_receiver(queue) as receiver:
        assert [str(item) for item in await receiver.peek_messages(3)] == ["0", "1", "2"]
        assert [str(item) for item in await receiver.peek_messages(3)] == ["3", "4"]
        assert str(await receive_one(receiver)) == "0"


async def test_an_expired_message_disappears(
    client: ServiceBusClient, queue: str, administration: ServiceBusAdministrationClient
) -> None:
    await send(client, queue, ServiceBusMessage("brief", time_to_live=datetime.timedelta(seconds=1)))

    async def is_empty() -> bool:
        return administration.get_queue_runtime_properties(queue).total_message_count == 0

    await wait_until(is_empty, within=datetime.timedelta(seconds=WAIT_SECONDS))


async def test_an_expired_message_is_dead_lettered_if_the_queue_says_so(
    client: ServiceBusClient, make_queue: Callable[..., str]
) -> None:
    queue = make_queue(
        dead_lettering_on_message_expiration=True, default_message_time_to_live=datetime.timedelta(seconds=1)
    )
    await send(client, queue, ServiceBusMessage("brief"))
    dead = await receive_dead(client, queue)
    assert dead.dead_letter_reason == "TTLExpiredException"


async def test_a_duplicate_within_the_window_is_dropped(
    client: ServiceBusClient, make_queue: Callable[..., str], administration: ServiceBusAdministrationClient
) -> None:
    queue = make_queue(requires_duplicate_detection=True)
    for identifier in ("a", "b", "a"):
        await send(client, queue, ServiceBusMessage(identifier, message_id=identifier))
    assert administration.get_queue_runtime_properties(queue).active_message_count == 2


async def test_a_full_queue_refuses_messages(client: ServiceBusClient, make_queue: Callable[..., str]) -> None:
    queue = make_queue(max_size_in_megabytes=1)
    async with client.get_queue_sender(queue) as sender:
        await sender.send_messages(ServiceBusMessage(b"x" * 900_000))
        with pytest.raises(ServiceBusQuotaExceededError):
            await sender.send_messages(ServiceBusMessage(b"x" * 900_000))


async def test_a_missing_queue_is_reported(client: ServiceBusClient) -> None:
    with pytest.raises(MessagingEntityNotFoundError):
        await send(client, "missing", ServiceBusMessage("nowhere"))


async def test_a_dead_letter_queue_takes_no_messages(client: ServiceBusClient, queue: str) -> None:
    with pytest.raises(ServiceBusError):
        await send(client, f"{queue}/$deadletterqueue", ServiceBusMessage("no"))


async def test_closing_a_receiver_returns_what_it_had_prefetched(client: ServiceBusClient, queue: str) -> None:
    await send(client, queue, *(ServiceBusMessage(str(number)) for number in range(20)))
    async with client.get_queue_receiver(queue, prefetch_count=20) as receiver:
        await receive_one(receiver)
    received: set[str] = set()
    async with client.get_queue_receiver(queue) as receiver:
        while len(received) < 19:
            for message in await receiver.receive_messages(20, max_wait_time=WAIT_SECONDS):
                received.add(str(message))
                await receiver.complete_message(message)
    assert len(received) == 19
