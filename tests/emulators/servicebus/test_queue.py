"""The semantics of a queue, without a server and with a clock of our own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from tests.emulators.servicebus.readers import KEY, LOCK_MILLISECONDS, Clock, Reader, body

from cloudscale.emulators.servicebus.broker import Broker
from cloudscale.emulators.servicebus.codec import Array
from cloudscale.emulators.servicebus.conditions import (
    ArgumentError,
    EntityExistsError,
    EntityNotFoundError,
    MessageLockLostError,
)
from cloudscale.emulators.servicebus.description import QueueDescription
from cloudscale.emulators.servicebus.message import IncomingMessage, pack
from cloudscale.emulators.servicebus.sessions import Acceptance

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from cloudscale.emulators.servicebus.queue import Queue


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def broker(tmp_path: Path, clock: Clock) -> Iterator[Broker]:
    opened = Broker(tmp_path, KEY, clock=clock)
    yield opened
    opened.close()


@pytest.fixture
def make(broker: Broker) -> Callable[..., Queue]:
    def create(**options: Any) -> Queue:
        given: dict[str, Any] = {"name": "queue", "lock_duration": LOCK_MILLISECONDS} | options
        return broker.create_queue(QueueDescription(**given))

    return create


def test_consumers_take_turns(make: Callable[..., Queue]) -> None:
    queue = make()
    first, second = Reader(10), Reader(10)
    queue.subscribe(first, dead=False)
    queue.subscribe(second, dead=False)
    queue.send([IncomingMessage(body()) for _ in range(4)])
    assert (first.sequences, second.sequences) == ([1, 3], [2, 4])


def test_no_consumer_gets_more_than_its_credit(make: Callable[..., Queue]) -> None:
    queue = make()
    reader = Reader(2)
    queue.subscribe(reader, dead=False)
    queue.send([IncomingMessage(body()) for _ in range(4)])
    assert reader.sequences == [1, 2]


def test_an_abandoned_message_returns_to_its_place(make: Callable[..., Queue]) -> None:
    queue = make()
    reader = Reader(1)
    queue.subscribe(reader, dead=False)
    queue.send([IncomingMessage(body()) for _ in range(3)])
    (token,) = reader.tokens
    queue.abandon(token)
    reader.credit = 3
    queue.pump_for(reader, dead=False)
    assert reader.sequences == [1, 1, 2, 3]


def test_a_lock_that_was_renewed_expires_later(make: Callable[..., Queue], clock: Clock) -> None:
    queue = make()
    reader = Reader(1)
    queue.subscribe(reader, dead=False)
    queue.send([IncomingMessage(body())])
    (token,) = reader.tokens
    clock.now += LOCK_MILLISECONDS - 1
    queue.renew(token)
    clock.now += LOCK_MILLISECONDS - 1
    queue.tick(clock.now)
    assert token in queue.locked
    clock.now += 1
    queue.tick(clock.now)
    with pytest.raises(MessageLockLostError):
        queue.complete(token)


def test_a_duplicate_counts_as_new_after_the_window(make: Callable[..., Queue], clock: Clock) -> None:
    queue = make(requires_duplicate_detection=True, duplicate_detection_window=60_000)
    message = IncomingMessage(body(), message_id="same")
    assert queue.send([message]) == [1]
    assert queue.send([message]) == [0]
    clock.now += 60_001
    queue.tick(clock.now)
    assert queue.send([message]) == [2]


def test_a_message_that_expires_while_locked_goes_when_its_lock_does(make: Callable[..., Queue], clock: Clock) -> None:
    queue = make()
    reader = Reader(1)
    queue.subscribe(reader, dead=False)
    queue.send([IncomingMessage(body(), time_to_live=1000)])
    clock.now += 2000
    queue.tick(clock.now)
    assert len(queue.messages) == 1
    clock.now += LOCK_MILLISECONDS
    queue.tick(clock.now)
    assert len(queue.messages) == 0


def test_settings_that_cannot_change_are_refused(broker: Broker, make: Callable[..., Queue]) -> None:
    make()
    with pytest.raises(ArgumentError, match="requires_session"):
        broker.update_queue(QueueDescription(name="queue", requires_session=True))
    with pytest.raises(EntityExistsError):
        make(name="QUEUE")
    with pytest.raises(EntityNotFoundError):
        broker.delete_queue("other")


SETTLEMENTS: dict[str, Callable[[Queue, bytes], object]] = {
    "complete": lambda queue, token: queue.complete(token),
    "abandon": lambda queue, token: queue.abandon(token, {"changed": 1}),
    "defer": lambda queue, token: queue.defer(token, {"changed": 1}),
    "dead_letter": lambda queue, token: queue.dead_letter(token, {"DeadLetterReason": "late"}),
    "renew": lambda queue, token: queue.renew(token),
}


@pytest.mark.parametrize("settlement", SETTLEMENTS)
def test_a_receiver_of_a_deleted_queue_cannot_settle_what_it_held(
    broker: Broker, make: Callable[..., Queue], settlement: str
) -> None:
    queue = make()
    reader = Reader(1)
    queue.subscribe(reader, dead=False)
    queue.send([IncomingMessage(body())])
    (token,) = reader.tokens
    broker.delete_queue("queue")
    with pytest.raises(EntityNotFoundError):
        SETTLEMENTS[settlement](queue, token)
    assert [(segment.live, segment.live_bytes) for segment in broker.journal.segments] == [(0, 0)]


def test_a_deleted_queue_takes_no_messages_although_one_of_its_name_exists(
    broker: Broker, make: Callable[..., Queue]
) -> None:
    queue = make()
    broker.delete_queue("queue")
    make()
    with pytest.raises(EntityNotFoundError):
        queue.send([IncomingMessage(body())])


def test_who_waits_for_a_session_of_a_deleted_queue_hears_of_it_at_once(
    broker: Broker, make: Callable[..., Queue], clock: Clock
) -> None:
    queue = make(requires_session=True)
    told: list[Exception] = []
    queue.accept_session(Acceptance(clock.now + 60_000, lambda _: None, told.append))
    broker.delete_queue("queue")
    assert [type(error) for error in told] == [EntityNotFoundError]


def test_an_expired_session_gives_its_messages_to_the_next_holder_and_not_back_to_the_last(
    make: Callable[..., Queue], clock: Clock
) -> None:
    queue = make(requires_session=True)
    first, second = Reader(10), Reader(10)
    first.session = queue.hold_session("a", lambda: queue.unsubscribe(first, dead=False, counted=False))
    queue.subscribe(first, dead=False)
    queue.send([IncomingMessage(body(), session_id="a") for _ in range(2)])
    clock.now += LOCK_MILLISECONDS
    queue.tick(clock.now)
    assert first.sequences == [1, 2]
    assert not queue.locked
    second.session = queue.hold_session("a", lambda: None)
    queue.subscribe(second, dead=False)
    queue.pump_for(second, dead=False)
    assert second.sequences == [1, 2]
    assert [message.delivery_count for message in second.tokens.values()] == [1, 1]


UNENCODABLE: dict[str, Any] = {"flags": Array(bool, (True, False))}
SETTLEMENTS_WITH_PROPERTIES: dict[str, Callable[[Queue, bytes], object]] = {
    "abandon": lambda queue, token: queue.abandon(token, UNENCODABLE),
    "defer": lambda queue, token: queue.defer(token, UNENCODABLE),
    "dead_letter": lambda queue, token: queue.dead_letter(token, UNENCODABLE),
}


@pytest.mark.parametrize("settlement", SETTLEMENTS_WITH_PROPERTIES)
def test_properties_that_cannot_be_encoded_are_refused_and_the_message_stays_locked(
    make: Callable[..., Queue], settlement: str
) -> None:
    queue = make()
    reader = Reader(1)
    queue.subscribe(reader, dead=False)
    queue.send([IncomingMessage(body())])
    (token,) = reader.tokens
    with pytest.raises(ArgumentError, match="array of bool"):
        SETTLEMENTS_WITH_PROPERTIES[settlement](queue, token)
    assert token in queue.locked
    assert queue.contents.active == 1
    queue.complete(token)
    assert not queue.messages


def test_a_message_with_unreadable_properties_is_dead_lettered_as_it_came(make: Callable[..., Queue]) -> None:
    queue = make(max_delivery_count=1)
    reader = Reader(1)
    queue.subscribe(reader, dead=False)
    unreadable = pack(0, b"", b"\x00\x53\x74\xc1\x03\x02\x01\x02")
    queue.send([IncomingMessage(unreadable)])
    (token,) = reader.tokens
    queue.abandon(token)
    (message,) = queue.messages.values()
    assert message.dead
    assert queue.storage.payload(message) == unreadable


def test_survivors_are_moved_out_of_sparse_segments(tmp_path: Path, clock: Clock) -> None:
    broker = Broker(tmp_path, KEY, clock=clock, segment_bytes=2_000, cache_bytes=0)
    queue = broker.create_queue(QueueDescription(name="queue"))
    reader = Reader(0)
    queue.subscribe(reader, dead=False)
    for number in range(300):
        queue.send([IncomingMessage(body(str(number).encode() * 20))])
    reader.credit = 300
    queue.pump_for(reader, dead=False)
    for token, message in reader.tokens.items():
        if message.sequence != 5:
            queue.complete(token)
    before = len(broker.journal.segments)
    for _ in range(10):
        broker.tick()
    assert before > 10
    assert len(broker.journal.segments) < 5
    broker.close()
    again = Broker(tmp_path, KEY, clock=clock)
    (survivor,) = again.queue("queue").messages.values()
    assert again.queue("queue").storage.payload(survivor) == body(b"4" * 20)
    again.close()
