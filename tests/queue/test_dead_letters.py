from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, TypeVar

import msgspec
import pytest
from azure.servicebus import ServiceBusMessage, ServiceBusSubQueue
from azure.servicebus.aio import ServiceBusClient
from azure.servicebus.amqp import AmqpAnnotatedMessage
from tests.servers.servicebus import ServiceBusServer, servicebus_server
from tests.waiting import wait_until

from cloudscale.cache.records import Acceptance
from cloudscale.errors import BackendUnavailableError
from cloudscale.pipeline import Queue
from cloudscale.queue.connection import NO_KEEP_ALIVE
from cloudscale.queue.dead_letters import DeadLetter, DeadLetterReason, DeadLetters, acceptances_of
from cloudscale.queue.poison import poison_message, verdict
from cloudscale.queue.receiver import MessageReceiver
from cloudscale.settings import Settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence

    from azure.servicebus import ServiceBusReceivedMessage

QUEUE = "dead-letters-test"
REASON = DeadLetterReason.VALIDATION_FAILED
PATIENCE = timedelta(seconds=30)

Sent = TypeVar("Sent", ServiceBusMessage, AmqpAnnotatedMessage)


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceBusServer]:
    with servicebus_server(tmp_path_factory.mktemp("broker"), queues=[QUEUE]) as server:
        yield server


@pytest.fixture
async def client(broker: ServiceBusServer) -> AsyncIterator[ServiceBusClient]:
    async with ServiceBusClient.from_connection_string(broker.connection_string) as opened:
        yield opened


class Notes:
    """A ledger that writes down what it is asked."""

    def __init__(self) -> None:
        self.entered: list[Acceptance] = []
        self.forgotten: list[Acceptance] = []

    async def reenter(self, acceptances: Sequence[Acceptance]) -> int:
        self.entered += acceptances
        return len(acceptances)

    async def forget_dead(self, acceptances: Sequence[Acceptance]) -> None:
        self.forgotten += acceptances


@pytest.fixture
async def letters(broker: ServiceBusServer) -> AsyncIterator[DeadLetters]:
    settings = Settings(pipeline_file="", redis_url="", servicebus_connection_string=broker.connection_string)
    async with DeadLetters(Queue(name=QUEUE), settings, ledger=Notes()) as opened:
        await opened.discard()
        yield opened


async def bury(client: ServiceBusClient, *messages: Sent) -> None:
    """Send messages and dead-letter them, as a worker would; they are all there to be peeked at then."""
    async with client.get_queue_sender(QUEUE, keep_alive=NO_KEEP_ALIVE) as sender:
        await sender.send_messages(list(messages))
    async with MessageReceiver(client, QUEUE, keep_alive_seconds=NO_KEEP_ALIVE) as receiver:
        buried = await receive_all(receiver, len(messages))
        for message in buried:
            judged = verdict(message)
            reason, description = (judged.reason, judged.description) if judged else ("Unreadable", "no JSON")
            await receiver.dead_letter(message, reason=reason, description=description)
    numbers = {message.sequence_number for message in buried}
    async with MessageReceiver(
        client, QUEUE, sub_queue=ServiceBusSubQueue.DEAD_LETTER, keep_alive_seconds=NO_KEEP_ALIVE
    ) as dead:

        async def are_there() -> bool:
            return numbers <= {message.sequence_number for message in await dead.peek(250)}

        await wait_until(are_there, within=PATIENCE)


async def receive_all(receiver: MessageReceiver, count: int) -> list[ServiceBusReceivedMessage]:
    """Receive so many messages, in as many turns as it takes."""
    received: list[ServiceBusReceivedMessage] = []

    async def are_received() -> bool:
        received.extend(await receiver.receive(count - len(received)))
        return len(received) == count

    await wait_until(are_received, within=PATIENCE)
    return received


def poison(number: int) -> ServiceBusMessage:
    event = {"id": f"e{number}", "tenantId": "t1", "acceptance": f"a{number}", "receivedAt": "1970-01-01T00:00:01Z"}
    return poison_message(event, reason=REASON, description="amount: is negative", attempts=3)


async def test_a_dead_letter_shows_its_event_reason_and_attempts(
    client: ServiceBusClient, letters: DeadLetters
) -> None:
    await bury(client, poison(1))
    (letter,) = await letters.list()
    assert (letter.reason, letter.description, letter.attempts) == (REASON, "amount: is negative", 3)
    assert letter.events == [{"id": "e1", "tenantId": "t1", "acceptance": "a1", "receivedAt": "1970-01-01T00:00:01Z"}]
    assert acceptances_of(letter) == [Acceptance("t1", "e1", "a1", 1.0, acknowledged=True)]
    assert await letters.show(letter.sequence_number) == letter
    assert await letters.show(letter.sequence_number + 1) is None
    assert msgspec.json.decode(msgspec.json.encode(letter), type=DeadLetter) == letter


@pytest.mark.parametrize("body", [b"{broken \xff", b'[{"id":"\xff"}]', b"[" * 100_000], ids=lambda body: body[:12])
async def test_an_unreadable_message_shows_its_text(
    client: ServiceBusClient, letters: DeadLetters, body: bytes
) -> None:
    await bury(client, ServiceBusMessage(body))
    (letter,) = await letters.list()
    assert letter.body == body.decode(errors="replace")
    assert letter.events == []
    assert letter.attempts >= 1


@pytest.mark.parametrize(
    ("message", "body"),
    [
        (AmqpAnnotatedMessage(value_body='[{"id":"e1"}]'), [{"id": "e1"}]),
        (AmqpAnnotatedMessage(value_body=7), 7),
        (AmqpAnnotatedMessage(sequence_body=[[1, 2]]), [[1, 2]]),
    ],
    ids=["text", "number", "sequence"],
)
async def test_a_message_that_is_no_data_is_shown_as_text(
    client: ServiceBusClient, letters: DeadLetters, message: AmqpAnnotatedMessage, body: object
) -> None:
    await bury(client, message)
    (letter,) = await letters.list()
    assert letter.body == body


async def test_dead_letters_are_listed_page_by_page(client: ServiceBusClient, letters: DeadLetters) -> None:
    await bury(client, *map(poison, range(5)))
    first = await letters.list(limit=3)
    rest = await letters.list(limit=3, after=first[-1].sequence_number)
    assert [letter.events[0]["id"] for letter in first + rest] == [f"e{number}" for number in range(5)]


async def test_the_chosen_are_replayed_and_the_others_stay(client: ServiceBusClient, letters: DeadLetters) -> None:
    await bury(client, *map(poison, range(4)))
    numbers = [letter.sequence_number for letter in await letters.list()]
    assert await letters.replay([numbers[1], numbers[3]]) == 2
    assert [letter.sequence_number for letter in await letters.list()] == [numbers[0], numbers[2]]
    async with MessageReceiver(client, QUEUE, keep_alive_seconds=NO_KEEP_ALIVE) as receiver:
        replayed = await receive_all(receiver, 2)
        assert [verdict(message) for message in replayed] == [None, None]
        await receiver.complete(replayed)


async def test_all_are_replayed_without_numbers_and_entered_in_the_ledger(
    broker: ServiceBusServer, client: ServiceBusClient
) -> None:
    settings = Settings(pipeline_file="", redis_url="", servicebus_connection_string=broker.connection_string)
    notes = Notes()
    async with DeadLetters(Queue(name=QUEUE), settings, ledger=notes) as letters:
        await letters.discard()
        notes.forgotten.clear()
        await bury(client, *map(poison, range(3)))
        assert await letters.replay() == 3
        assert await letters.list() == []
        assert notes.entered == [
            Acceptance("t1", f"e{number}", f"a{number}", 1.0, acknowledged=True) for number in range(3)
        ]
        assert notes.forgotten == []


async def test_it_is_told_how_many_are_done(client: ServiceBusClient, letters: DeadLetters) -> None:
    await bury(client, *(poison(number) for number in range(3)))
    told: list[int] = []

    await letters.discard(tell=told.append)

    assert told == sorted(told)
    assert told[-1] == 3


async def test_a_number_that_is_not_there_takes_nothing(client: ServiceBusClient, letters: DeadLetters) -> None:
    await bury(client, poison(1))
    assert await letters.discard([10**6]) == 0
    assert len(await letters.list()) == 1


async def test_letters_that_could_not_be_discarded_can_be_discarded_at_once(
    client: ServiceBusClient, letters: DeadLetters, monkeypatch: pytest.MonkeyPatch
) -> None:
    await bury(client, poison(1), poison(2))

    async def is_away(_self: Notes, acceptances: Sequence[Acceptance]) -> None:
        raise BackendUnavailableError(f"cannot forget {len(acceptances)} dead letters")

    with monkeypatch.context() as broken:
        broken.setattr(Notes, "forget_dead", is_away)
        with pytest.raises(BackendUnavailableError):
            await letters.discard()

    assert await letters.discard() == 2
