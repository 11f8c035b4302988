"""Sessions with the real SDK."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING

import pytest
from azure.servicebus import NEXT_AVAILABLE_SESSION, ServiceBusMessage
from azure.servicebus.exceptions import (
    OperationTimeoutError,
    ServiceBusError,
    SessionCannotBeLockedError,
    SessionLockLostError,
)
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from azure.servicebus.aio import ServiceBusClient

WAIT_SECONDS = 10


@pytest.fixture
def queue(make_queue: Callable[..., str]) -> str:
    return make_queue(requires_session=True, lock_duration=datetime.timedelta(seconds=3))


async def send(client: ServiceBusClient, queue: str, *messages: tuple[str, str]) -> None:
    async with client.get_queue_sender(queue) as sender:
        for session_id, body in messages:
            await sender.send_messages(ServiceBusMessage(body, session_id=session_id))


async def test_a_session_receiver_gets_the_messages_of_its_session_in_order(
    client: ServiceBusClient, queue: str
) -> None:
    await send(client, queue, ("a", "a1"), ("b", "b1"), ("a", "a2"))
    async with client.get_queue_receiver(queue, session_id="a") as receiver:
        received: list[str] = []
        while len(received) < 2:
            for message in await receiver.receive_messages(5, max_wait_time=WAIT_SECONDS):
                received.append(str(message))
                assert message.session_id == "a"
                await receiver.complete_message(message)
    assert received == ["a1", "a2"]


async def test_the_next_available_session_is_one_that_nobody_holds(client: ServiceBusClient, queue: str) -> None:
    await send(client, queue, ("a", "a1"), ("b", "b1"))
    async with (
        client.get_queue_receiver(queue, session_id=NEXT_AVAILABLE_SESSION) as first,
        client.get_queue_receiver(queue, session_id=NEXT_AVAILABLE_SESSION) as second,
    ):
        assert {first.session.session_id, second.session.session_id} == {"a", "b"}


async def test_a_held_session_cannot_be_accepted(client: ServiceBusClient, queue: str) -> None:
    await send(client, queue, ("a", "a1"))
    async with client.get_queue_receiver(queue, session_id="a"):
        with pytest.raises(SessionCannotBeLockedError):
            async with client.get_queue_receiver(queue, session_id="a"):
                pass


async def test_accepting_times_out_when_no_session_has_messages(client: ServiceBusClient, queue: str) -> None:
    with pytest.raises(OperationTimeoutError):
        async with client.get_queue_receiver(queue, session_id=NEXT_AVAILABLE_SESSION, max_wait_time=1):
            pass


async def test_session_state_is_kept_and_removed(client: ServiceBusClient, queue: str) -> None:
    async with client.get_queue_receiver(queue, session_id="a") as receiver:
        assert await receiver.session.get_state() is None
        await receiver.session.set_state(b"\x01state")
    async with client.get_queue_receiver(queue, session_id="a") as receiver:
        assert await receiver.session.get_state() == b"\x01state"
        await receiver.session.set_state(None)
        assert await receiver.session.get_state() is None


async def test_a_renewed_session_outlives_its_first_lock(client: ServiceBusClient, queue: str) -> None:
    async with client.get_queue_receiver(queue, session_id="a") as receiver:
        first = receiver.session.locked_until_utc
        assert first is not None

        async def past_the_first_lock() -> bool:
            await receiver.session.renew_lock()
            return datetime.datetime.now(datetime.UTC) > first

        await wait_until(past_the_first_lock, within=datetime.timedelta(seconds=WAIT_SECONDS))
        await receiver.session.get_state()


async def test_an_expired_session_frees_its_messages_and_counts(client: ServiceBusClient, queue: str) -> None:
    await send(client, queue, ("a", "a1"))
    async with client.get_queue_receiver(queue, session_id="a") as receiver:
        (message,) = await receiver.receive_messages(1, max_wait_time=WAIT_SECONDS)
        assert message.delivery_count == 0
        async with client.get_queue_receiver(
            queue, session_id=NEXT_AVAILABLE_SESSION, max_wait_time=WAIT_SECONDS
        ) as second:
            (again,) = await second.receive_messages(1, max_wait_time=WAIT_SECONDS)
            assert again.delivery_count == 1
            with pytest.raises(SessionLockLostError):
                await receiver.complete_message(message)


async def test_closing_a_session_returns_its_messages_uncounted(client: ServiceBusClient, queue: str) -> None:
    await send(client, queue, ("a", "a1"))
    for _ in range(2):
        async with client.get_queue_receiver(queue, session_id="a") as receiver:
            (message,) = await receiver.receive_messages(1, max_wait_time=WAIT_SECONDS)
            assert message.delivery_count == 0


async def test_a_queue_with_sessions_refuses_messages_without_one(client: ServiceBusClient, queue: str) -> None:
    async with client.get_queue_sender(queue) as sender:
        with pytest.raises(ServiceBusError, match="session id"):
            await sender.send_messages(ServiceBusMessage("none"))


async def test_a_queue_with_sessions_refuses_receivers_without_one(client: ServiceBusClient, queue: str) -> None:
    with pytest.raises(ServiceBusError, match="requires sessions"):
        async with client.get_queue_receiver(queue):
            pass
