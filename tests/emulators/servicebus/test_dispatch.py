"""Whoever has credit is given what waits, whatever happened before: no wake-up is lost."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from tests.emulators.servicebus.readers import KEY, LOCK_MILLISECONDS, Clock, Reader, body

from cloudscale.emulators.servicebus.broker import Broker
from cloudscale.emulators.servicebus.description import QueueDescription
from cloudscale.emulators.servicebus.message import IncomingMessage
from cloudscale.emulators.servicebus.sessions import Acceptance
from cloudscale.emulators.servicebus.stored import State

if TYPE_CHECKING:
    from cloudscale.emulators.servicebus.conditions import ConditionError
    from cloudscale.emulators.servicebus.stored import StoredMessage

SESSIONS = ("s", "t")
TIME_TO_LIVE_MILLISECONDS = 100_000


class DispatchMachine(RuleBasedStateMachine):
    """Receivers come and go, with and without credit, in a queue with or without sessions."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.temporary = tempfile.TemporaryDirectory()
        self.broker = Broker(Path(self.temporary.name), KEY, clock=self.clock)
        self.readers: list[tuple[Reader, bool]] = []
        self.waiting = 0

    @initialize(with_sessions=st.booleans(), dead_lettering=st.booleans())
    def create(self, *, with_sessions: bool, dead_lettering: bool) -> None:
        description = QueueDescription(
            name="queue",
            max_delivery_count=3,
            lock_duration=LOCK_MILLISECONDS,
            requires_session=with_sessions,
            dead_lettering_on_expiration=dead_lettering,
        )
        self.queue = self.broker.create_queue(description)

    @rule(count=st.integers(1, 3), session=st.sampled_from(SESSIONS), lives=st.booleans(), delay=st.integers(0, 2))
    def send(self, *, count: int, session: str, lives: bool, delay: int) -> None:
        scheduled = self.clock.now + delay * LOCK_MILLISECONDS if delay else None
        self.queue.send(
            [
                IncomingMessage(
                    body(),
                    session_id=session,
                    scheduled=scheduled,
                    time_to_live=None if lives else TIME_TO_LIVE_MILLISECONDS,
                )
                for _ in range(count)
            ]
        )

    @rule(credit=st.integers(0, 4), dead=st.booleans(), deletes=st.booleans(), session=st.sampled_from(SESSIONS))
    def join(self, *, credit: int, dead: bool, deletes: bool, session: str) -> None:
        reader = Reader(0, deletes=deletes)
        if self.queue.description.requires_session and not dead:
            if session in self.queue.sessions.held:
                return
            self.hold(reader, session)
        else:
            self.readers.append((reader, dead))
            self.queue.subscribe(reader, dead=dead)
        reader.credit = credit
        self.queue.pump_for(reader, dead=dead)

    def hold(self, reader: Reader, session: str) -> None:
        def lost() -> None:
            self.readers.remove((reader, False))
            self.queue.unsubscribe(reader, dead=False, counted=False)

        reader.session = self.queue.hold_session(session, lost)
        self.readers.append((reader, False))
        self.queue.subscribe(reader, dead=False)

    @precondition(lambda self: self.queue.description.requires_session)
    @rule(credit=st.integers(1, 3))
    def wait_for_a_session(self, credit: int) -> None:
        reader = Reader(credit)

        def accept(session: str) -> None:
            self.waiting -= 1
            self.hold(reader, session)
            self.queue.pump_for(reader, dead=False)

        def decline(_: ConditionError) -> None:
            self.waiting -= 1

        self.waiting += 1
        self.queue.accept_session(Acceptance(self.clock.now + LOCK_MILLISECONDS, accept, decline))

    @precondition(lambda self: self.readers)
    @rule(data=st.data(), counted=st.booleans(), returns=st.booleans())
    def leave(self, data: st.DataObject, *, counted: bool, returns: bool) -> None:
        """A link that is detached keeps its locks; a connection that ends gives them back."""
        reader, dead = data.draw(st.sampled_from(self.readers))
        self.readers.remove((reader, dead))
        self.queue.unsubscribe(reader, dead=dead, counted=counted)
        for token in [token for token in reader.tokens if returns and token in self.queue.locked]:
            self.queue.abandon(token, counted=counted)

    @precondition(lambda self: self.readers)
    @rule(data=st.data(), credit=st.integers(0, 5), drains=st.booleans())
    def flow(self, data: st.DataObject, *, credit: int, drains: bool) -> None:
        reader, dead = data.draw(st.sampled_from(self.readers))
        reader.credit = credit
        self.queue.pump_for(reader, dead=dead)
        if drains:
            reader.credit = 0

    def held(self) -> list[tuple[bytes, StoredMessage]]:
        return sorted(self.queue.locked.items(), key=lambda each: each[1].sequence)

    @precondition(lambda self: self.queue.locked)
    @rule(data=st.data(), what=st.sampled_from(["complete", "abandon", "release", "defer", "bury"]))
    def settle(self, data: st.DataObject, what: str) -> None:
        token, _ = data.draw(st.sampled_from(self.held()))
        if what == "complete":
            self.queue.complete(token)
        elif what == "defer":
            self.queue.defer(token)
        elif what == "bury":
            self.queue.dead_letter(token, {})
        else:
            self.queue.abandon(token, counted=what == "abandon")

    @precondition(lambda self: self.queue.locked)
    @rule(data=st.data())
    def renew(self, data: st.DataObject) -> None:
        token, message = data.draw(st.sampled_from(self.held()))
        if message.session_id is None or message.dead:
            self.queue.renew(token)

    @rule(milliseconds=st.sampled_from([1, LOCK_MILLISECONDS // 2, LOCK_MILLISECONDS]))
    def time_passes(self, milliseconds: int) -> None:
        self.clock.now += milliseconds
        self.broker.tick()

    @invariant()
    def nothing_waits_where_somebody_has_credit(self) -> None:
        for message in self.queue.messages.values():
            if message.state is not State.ACTIVE or message.lock_token is not None:
                continue
            for reader, dead in self.readers:
                session = None if reader.session is None else reader.session.identifier
                takes = dead == message.dead and (dead or session == message.session_id)
                assert not (takes and reader.credit), f"message {message.sequence} waits although somebody takes it"
            if self.waiting and not message.dead:
                assert message.session_id in self.queue.sessions.held, f"nobody is given {message.session_id!r}"

    @invariant()
    def who_has_a_lock_holds_the_message(self) -> None:
        locked = {id(message) for message in self.queue.locked.values()}
        for message in self.queue.messages.values():
            assert (message.lock_token is not None) == (id(message) in locked)

    def teardown(self) -> None:
        self.broker.close()
        self.temporary.cleanup()


TestDispatch = DispatchMachine.TestCase
TestDispatch.settings = settings(max_examples=60, stateful_step_count=50, deadline=None)
