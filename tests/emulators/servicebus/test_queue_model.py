"""A queue against a model of it, through random operations and restarts."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from tests.emulators.servicebus.readers import KEY, LOCK_MILLISECONDS, Clock, Reader, body

from cloudscale.emulators.servicebus.broker import Broker
from cloudscale.emulators.servicebus.description import QueueDescription
from cloudscale.emulators.servicebus.message import IncomingMessage

if TYPE_CHECKING:
    from cloudscale.emulators.servicebus.stored import StoredMessage


class QueueMachine(RuleBasedStateMachine):
    """A queue against a model, with restarts at any moment: whatever is not settled is there, and nothing else."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.temporary = tempfile.TemporaryDirectory()
        self.alive: dict[int, bytes] = {}
        self.counts: dict[int, int] = {}
        self.dead: set[int] = set()
        self.deferred: set[int] = set()
        self.open()
        self.broker.create_queue(QueueDescription(name="queue", max_delivery_count=3, lock_duration=LOCK_MILLISECONDS))
        self.subscribe()

    def open(self) -> None:
        directory = Path(self.temporary.name)
        self.broker = Broker(directory, KEY, clock=self.clock, segment_bytes=500, cache_bytes=100)

    def subscribe(self) -> None:
        self.queue = self.broker.queue("queue")
        self.reader = Reader(0)
        self.queue.subscribe(self.reader, dead=False)

    @rule(text=st.binary(min_size=1, max_size=60))
    def send(self, text: bytes) -> None:
        (number,) = self.queue.send([IncomingMessage(body(text))])
        self.alive[number], self.counts[number] = body(text), 0

    @rule(credit=st.integers(1, 3))
    def receive(self, credit: int) -> None:
        self.reader.credit = credit
        self.queue.pump_for(self.reader, dead=False)
        self.reader.credit = 0

    def held(self) -> dict[bytes, StoredMessage]:
        return {token: message for token, message in self.reader.tokens.items() if token in self.queue.locked}

    @precondition(lambda self: self.held())
    @rule(data=st.data(), what=st.sampled_from(["complete", "abandon", "defer", "bury", "release"]))
    def settle(self, data: st.DataObject, what: str) -> None:
        token, message = data.draw(st.sampled_from(sorted(self.held().items(), key=lambda item: item[1].sequence)))
        number = message.sequence
        if what == "complete":
            self.queue.complete(token)
            del self.alive[number]
        elif what == "abandon":
            self.queue.abandon(token)
            self.count(number)
        elif what == "defer":
            self.queue.defer(token)
            self.deferred.add(number)
        elif what == "bury":
            self.queue.dead_letter(token, {})
            self.dead.add(number)
        else:
            self.queue.abandon(token, counted=False)

    def count(self, number: int) -> None:
        self.counts[number] += 1
        if self.counts[number] >= 3:
            self.dead.add(number)

    @rule()
    def let_locks_expire(self) -> None:
        held = [message.sequence for message in self.held().values()]
        self.clock.now += LOCK_MILLISECONDS
        self.broker.tick()
        for number in held:
            self.count(number)

    @rule()
    def restart(self) -> None:
        self.broker.close()
        self.open()
        self.subscribe()

    @invariant()
    def the_queue_is_as_the_model(self) -> None:
        assert set(self.queue.messages) == set(self.alive)
        assert {number for number, message in self.queue.messages.items() if message.dead} == self.dead
        assert self.queue.contents.counts["dead"] == len(self.dead)
        assert self.queue.contents.size_bytes == sum(message.size for message in self.queue.messages.values())
        assert self.queue.contents.active == len(self.alive) - len(self.dead) - len(self.deferred)
        for number, message in self.queue.messages.items():
            assert message.delivery_count == self.counts[number]
            if number not in self.dead:
                assert self.queue.storage.payload(message) == self.alive[number]

    def teardown(self) -> None:
        self.broker.close()
        self.temporary.cleanup()


TestQueueAgainstModel = QueueMachine.TestCase
TestQueueAgainstModel.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)
