"""What a queue does: peek-lock, settlement, dead letters, expiry, deferral, schedules, sessions and duplicates.

Pure semantics: no sockets and no tasks; time comes from the caller's clock, and :meth:`Queue.tick` has to be called
now and then for what happens by itself. A queue and its dead-letter sub-queue share messages, numbers and size quota.

Where the real service leaves a choice open or would make development slow, the emulator does this:

- Locks end with the process and with the connection of their receiver. A connection that closes in good order does
  not count as a delivery, one that breaks does (the service keeps both locked until they expire).
- Closing a session returns its messages without counting a delivery; an expired session lock counts one, as documented
  for the service.
- Messages return to their place in the order of sequence numbers.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from cloudscale.emulators.servicebus.availability import Availability
from cloudscale.emulators.servicebus.contents import Contents
from cloudscale.emulators.servicebus.intake import Intake
from cloudscale.emulators.servicebus.locks import Locks
from cloudscale.emulators.servicebus.places import Consumer, Place, Places, place_for, place_of
from cloudscale.emulators.servicebus.sessions import Acceptance, Session, Sessions
from cloudscale.emulators.servicebus.stored import State, StoredMessage
from cloudscale.emulators.servicebus.timetable import Timetable, expiry_of

if TYPE_CHECKING:
    from cloudscale.emulators.servicebus.description import QueueDescription
    from cloudscale.emulators.servicebus.message import IncomingMessage
    from cloudscale.emulators.servicebus.storage import QueueStorage

Clock = Callable[[], int]


class Queue:
    """One queue with its dead-letter sub-queue."""

    def __init__(self, storage: QueueStorage, clock: Clock) -> None:
        self.storage = storage
        self.availability = Availability(storage, clock())
        self.sessions = Sessions()
        self.contents = Contents(storage)
        self.messages = self.contents.messages
        self.completed = self.sent = 0
        self._clock = clock
        self._places = Places(self.messages)
        self._intake = Intake(storage, self.contents)
        self._timetable = Timetable(self.messages)
        self._locks = Locks(storage, self.availability, self.sessions)
        self.locked = self._locks.held
        for message in self.messages.values():
            self._take_in(message)

    @property
    def description(self) -> QueueDescription:
        """The settings as they are now."""
        return self.storage.state.description

    def is_idle(self, now: int) -> bool:
        """Whether nobody has used the queue for as long as makes the service delete it."""
        in_use = self._places.has_consumers or self.sessions.waiting
        return not in_use and self.availability.is_idle(now)

    def send(self, incoming: Sequence[IncomingMessage]) -> list[int]:
        """Take messages in, all or none; return their sequence numbers. A duplicate is dropped and gets 0.

        Raises:
            QuotaExceededError: the queue is full.
            NotAllowedError: the queue has sessions and a message names none.
            EntityDisabledError: the queue's status forbids to send.
            EntityNotFoundError: the queue was deleted, here and in the settlements.
        """
        self.availability.check_sending()
        self.availability.use(self._clock())
        self._intake.check(incoming)
        numbers = [self._enter(message) for message in incoming]
        for place in {place_of(self.messages[number]) for number in numbers if number in self.messages}:
            self._wake(place)
        return numbers

    def subscribe(self, consumer: Consumer, *, dead: bool) -> None:
        """Let a consumer take messages as far as its credit goes."""
        self.availability.use(self._clock())
        self._places.join(consumer, dead=dead)

    def unsubscribe(self, consumer: Consumer, *, dead: bool, counted: bool) -> None:
        """Let a consumer go; a session it holds becomes free (``counted``: as a failed delivery)."""
        self.availability.use(self._clock())
        self._places.leave(consumer, dead=dead)
        if consumer.session is not None:
            self._release_session(consumer.session, counted=counted)

    def pump(self, place: Place) -> None:
        """Hand the messages that wait at a place to its consumers in turn."""
        while (match := self._places.match(place)) is not None:
            message, consumer = match
            if message.expires is not None and message.expires <= self._clock():
                self._expire(message)
            else:
                self._hand_out(message, consumer)

    def pump_for(self, consumer: Consumer, *, dead: bool) -> None:
        """Hand out what a consumer with new credit can take."""
        self.pump(place_for(consumer, dead=dead))

    def complete(self, token: bytes) -> None:
        """Settle a message for good.

        Raises:
            MessageLockLostError: the token is no lock (any more), here and in the other settlements.
            ArgumentError: properties cannot be encoded, in those that take some; the message stays locked.
        """
        self.contents.remove(self._locks.unlock(token))
        self.completed += 1

    def abandon(self, token: bytes, properties: dict[str, Any] | None = None, *, counted: bool = True) -> None:
        """Return a message, by default as a failed delivery; ``properties`` replace application properties."""
        payload = self._amended(token, properties)
        message = self._locks.unlock(token)
        if payload is not None:
            self.contents.rewrite(message, payload)
        self._return(message, counted=counted)

    def defer(self, token: bytes, properties: dict[str, Any] | None = None) -> None:
        """Put a message aside; only its sequence number finds it again."""
        payload = self._amended(token, properties)
        message = self._locks.unlock(token)
        if message.state is not State.DEFERRED:
            self.contents.set_state(message, State.DEFERRED)
        if payload is not None:
            self.contents.rewrite(message, payload)
        else:
            self.storage.changed(message)

    def dead_letter(self, token: bytes, properties: dict[str, Any]) -> None:
        """Move a message to the dead-letter sub-queue, with the reason and more among ``properties``."""
        payload = self._amended(token, properties)
        self._bury(self._locks.unlock(token), payload)

    def renew(self, token: bytes) -> int:
        """Extend the lock of a message; return the moment it will expire.

        Raises:
            MessageLockLostError: the lock has expired.
        """
        return self._locks.renew(token, now=self._clock())

    def lock_deferred(self, sequences: Sequence[int], *, dead: bool, deletes: bool) -> list[StoredMessage]:
        """Fetch deferred messages and lock them, or leave them to be removed when the receiver ``deletes``.

        Raises:
            MessageNotFoundError: a number is not that of a deferred message that is free.
        """
        found = self.contents.deferred(sequences, dead=dead)
        for message in () if deletes else found:
            self._locks.lock(message, secrets.token_bytes(16), None, now=self._clock())
        return found

    def accept_session(self, acceptance: Acceptance) -> None:
        """Answer with the next free session that has messages, now or before the deadline."""
        self.sessions.waiting.append(acceptance)
        self.sessions.offer(self._open_sessions())

    def hold_session(self, identifier: str, lost: Callable[[], None]) -> Session:
        """Lock a session by name, see :meth:`Sessions.hold`."""
        return self.sessions.hold(identifier, self._clock() + self.description.lock_duration, lost)

    def renew_session(self, identifier: str) -> int:
        """Extend the lock of a session; return the moment it will expire."""
        until = self._clock() + self.description.lock_duration
        self.sessions.renew(identifier, until)
        return until

    def session_names(self) -> list[str]:
        """The sessions that have messages or a state."""
        names = {message.session_id for message in self.messages.values() if message.session_id and not message.dead}
        return sorted(names | self.storage.state.session_states.keys())

    def delete(self) -> None:
        """End the queue and all that is in it; what holds on to it finds nothing, and can put nothing there."""
        self.availability.deleted = True
        self.contents.delete()
        self.locked.clear()
        self.sessions.end(self.availability.gone())

    def tick(self, now: int) -> None:
        """Do what is due: locks and sessions that expire, messages that expire or become active, old history."""
        for token in self._locks.expired(now):
            self._return(self._locks.unlock(token), counted=True)
        for session in self.sessions.expired(now):
            self._expire_session(session)
        self.sessions.give_up(now)
        for message in self._timetable.scheduled(now):
            self._activate(message, now)
        for message in self._timetable.expired(now):
            if message.lock_token is None:
                self._expire(message)
        self._intake.forget(now)

    def _enter(self, incoming: IncomingMessage) -> int:
        message = self._intake.enter(incoming, self._clock())
        if message is None:
            return 0
        self._take_in(message)
        self.sent += 1
        return message.sequence

    def _take_in(self, message: StoredMessage) -> None:
        self._timetable.add(message)
        if message.state is State.ACTIVE:
            self._places.add(message)

    def _wake(self, place: Place) -> None:
        """Something waits at a place: hand it out, or find a receiver for its session."""
        self.pump(place)
        if self.sessions.waiting and place[1] is not None:
            self.sessions.offer(self._open_sessions())

    def _open_sessions(self) -> list[str]:
        return self._places.open_sessions(self.sessions.held)

    def _hand_out(self, message: StoredMessage, consumer: Consumer) -> None:
        token = secrets.token_bytes(16)
        if consumer.deletes:
            consumer.deliver(message, token)
            self.contents.remove(message)
            self.completed += 1
            return
        self._locks.lock(message, token, consumer.session, now=self._clock())
        consumer.deliver(message, token)

    def _return(self, message: StoredMessage, *, counted: bool) -> None:
        if counted:
            message.delivery_count += 1
            if message.delivery_count >= self.description.max_delivery_count and not message.dead:
                attempts = self.description.max_delivery_count
                text = f"Message could not be consumed after {attempts} delivery attempts."
                self._bury_because(message, "MaxDeliveryCountExceeded", text)
                return
            self.storage.changed(message)
        if message.expires is not None and message.expires <= self._clock():
            self._expire(message)
        elif message.state is State.ACTIVE:
            self._places.add(message)
            self._wake(place_of(message))

    def _bury_because(self, message: StoredMessage, reason: str, description: str) -> None:
        self._bury(message, self.contents.explained(message, reason, description))

    def _bury(self, message: StoredMessage, payload: bytes | None) -> None:
        self.contents.bury(message, payload)
        self._places.add(message)
        self.pump((True, None))

    def _amended(self, token: bytes, properties: dict[str, Any] | None) -> bytes | None:
        """A locked message with other properties. Nothing changes before it is encoded, for it may not be possible."""
        message = self.locked.get(token)
        return self.contents.amended(message, properties) if properties and message is not None else None

    def _expire(self, message: StoredMessage) -> None:
        if not self.description.dead_lettering_on_expiration:
            self.contents.remove(message)
            return
        self._bury_because(message, "TTLExpiredException", "The message expired and was dead lettered.")

    def _activate(self, message: StoredMessage, now: int) -> None:
        """Make a scheduled message active: it joins the end of the queue under a new number, as in the service."""
        state = self.storage.state
        expires = expiry_of(state.description, message.time_to_live, now)
        self.contents.renumber(message, state.next_sequence, enqueued=now, expires=expires)
        state.next_sequence += 1
        self._take_in(message)
        self._wake(place_of(message))

    def _release_session(self, session: Session, *, counted: bool) -> None:
        if self.sessions.release(session):
            self._return_all(session, counted=counted)

    def _expire_session(self, session: Session) -> None:
        self.sessions.release(session)
        # The receiver has to leave before the messages return: it would be given them again, in a session that is over.
        session.lost()
        self._return_all(session, counted=True)

    def _return_all(self, session: Session, *, counted: bool) -> None:
        for token in list(session.tokens):
            self._return(self._locks.unlock(token), counted=counted)
        self.sessions.offer(self._open_sessions())
