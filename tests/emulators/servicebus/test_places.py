from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from cloudscale.emulators.servicebus.places import Place, Places
from cloudscale.emulators.servicebus.sessions import Session
from cloudscale.emulators.servicebus.stored import State, StoredMessage

if TYPE_CHECKING:
    from collections.abc import Callable

QUEUE: Place = (False, None)
DEAD_LETTERS: Place = (True, None)


@dataclass(eq=False)
class Reader:
    credit: int = 100
    deletes: bool = False
    session: Session | None = None
    sequences: list[int] = field(default_factory=list)

    def deliver(self, message: StoredMessage, token: bytes) -> None:  # noqa: ARG002 - of the protocol
        self.credit -= 1
        self.sequences.append(message.sequence)


@pytest.fixture
def messages() -> dict[int, StoredMessage]:
    return {}


@pytest.fixture
def places(messages: dict[int, StoredMessage]) -> Places:
    return Places(messages)


@pytest.fixture
def add(messages: dict[int, StoredMessage], places: Places) -> Callable[..., StoredMessage]:
    def make(sequence: int, session_id: str | None = None) -> StoredMessage:
        message = StoredMessage(sequence, enqueued=0, size=1, session_id=session_id)
        messages[sequence] = message
        places.add(message)
        return message

    return make


def taken(places: Places, place: Place = QUEUE) -> list[int]:
    """Hand out all that can be handed out; the numbers in their order."""
    numbers = []
    while (match := places.match(place)) is not None:
        message, consumer = match
        consumer.deliver(message, b"")
        numbers.append(message.sequence)
    return numbers


def test_messages_come_in_the_order_of_their_numbers_whenever_they_were_added(
    places: Places, add: Callable[..., StoredMessage]
) -> None:
    places.join(Reader(), dead=False)
    for number in (3, 1, 2):
        add(number)

    assert taken(places) == [1, 2, 3]


def test_consumers_take_turns_and_one_without_credit_is_passed_over(
    places: Places, add: Callable[..., StoredMessage]
) -> None:
    first, second, third = Reader(), Reader(credit=0), Reader(credit=1)
    for reader in (first, second, third):
        places.join(reader, dead=False)
    for number in range(1, 5):
        add(number)

    taken(places)

    assert (first.sequences, second.sequences, third.sequences) == ([1, 3, 4], [], [2])


def test_without_a_consumer_or_its_credit_messages_go_on_waiting(
    places: Places, add: Callable[..., StoredMessage]
) -> None:
    add(1)
    assert taken(places) == []
    reader = Reader(credit=0)
    places.join(reader, dead=False)
    assert taken(places) == []
    reader.credit = 1
    assert taken(places) == [1]


def test_a_message_that_was_locked_put_aside_or_removed_meanwhile_is_passed_over(
    places: Places, messages: dict[int, StoredMessage], add: Callable[..., StoredMessage]
) -> None:
    places.join(Reader(), dead=False)
    add(1).lock_token = b"lock"
    add(2).state = State.DEFERRED
    add(3)
    del messages[3]
    add(4)

    assert taken(places) == [4]


def test_a_message_that_moved_to_the_dead_letters_is_found_there_alone(
    places: Places, add: Callable[..., StoredMessage]
) -> None:
    places.join(Reader(), dead=False)
    places.join(Reader(), dead=True)
    message = add(1)
    message.dead = True
    places.add(message)

    assert taken(places) == []
    assert taken(places, DEAD_LETTERS) == [1]


def test_a_consumer_that_has_left_gets_nothing(places: Places, add: Callable[..., StoredMessage]) -> None:
    reader = Reader()
    places.join(reader, dead=False)
    places.leave(reader, dead=False)
    add(1)

    assert taken(places) == []


def test_a_session_is_open_while_it_has_messages_and_nobody_holds_it(
    places: Places, messages: dict[int, StoredMessage], add: Callable[..., StoredMessage]
) -> None:
    add(1, "held")
    add(2, "open")
    add(3, "emptied")
    del messages[3]

    assert places.open_sessions({"held"}) == ["open"]

    places.join(Reader(session=Session("open", 0, lambda: None)), dead=False)
    assert taken(places, (False, "open")) == [2]
    assert places.open_sessions({"held"}) == []
