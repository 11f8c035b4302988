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
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

import structlog

from cloudscale.emulators.servicebus.conditions import (
    ArgumentError,
    EntityDisabledError,
    EntityNotFoundError,
    MessageLockLostError,
    MessageNotFoundError,
    NotAllowedError,
    QuotaExceededError,
)
from cloudscale.emulators.servicebus.contents import Contents
from cloudscale.emulators.servicebus.deadlines import Deadlines
from cloudscale.emulators.servicebus.description import FOREVER_MILLISECONDS, QueueDescription
from cloudscale.emulators.servicebus.places import Consumer, Place, Places, place_for, place_of
from cloudscale.emulators.servicebus.sessions import Acceptance, Session, Sessions
from cloudscale.emulators.servicebus.stored import State, StoredMessage

if TYPE_CHECKING:
    from cloudscale.emulators.servicebus.message import IncomingMessage
    from cloudscale.emulators.servicebus.storage import QueueStorage

log = structlog.get_logger(__name__)

Clock = Callable[[], int]


class Queue:
    """One queue with its dead-letter sub-queue."""

    def __init__(self, storage: QueueStorage, clock: Clock) -> None:
        self.storage = storage
        self.sessions = Sessions()
        self.contents = Contents(storage)
        self.messages = self.contents.messages
        self.locked: dict[bytes, StoredMessage] = {}
        self.completed = self.sent = 0
        self.deleted = False
        self._clock = clock
        self._used = clock()
        self._places = Places(self.messages)
        self._locks: Deadlines[bytes] = Deadlines(self._lock_due)
        self._expiries: Deadlines[int] = Deadlines(self._expiry_due)
        self._schedule: Deadlines[int] = Deadlines(self._schedule_due)
        for message in self.messages.values():
            self._take_in(message)

    @property
    def description(self) -> QueueDescription:
        """The settings as they are now."""
        return self.storage.state.description

    def check(self) -> None:
        """See that the queue is there still.

        Raises:
            EntityNotFoundError: it was deleted; one of the same name is another.
        """
        if self.deleted:
            raise self._gone()

    def check_sending(self) -> None:
        """See that the queue takes messages.

        Raises:
            EntityDisabledError: its status forbids to send.
            EntityNotFoundError: it was deleted.
        """
        self.check()
        if not self.description.status.takes_messages:
            raise self._disabled("takes no messages")

    def check_receiving(self) -> None:
        """See that the queue gives messages.

        Raises:
            EntityDisabledError: its status forbids to receive.
            EntityNotFoundError: it was deleted.
        """
        self.check()
        if not self.description.status.gives_messages:
            raise self._disabled("gives no messages")

    def is_idle(self, now: int) -> bool:
        """Whether nobody has used the queue for as long as makes the service delete it."""
        limit = self.description.auto_delete_on_idle
        if limit >= FOREVER_MILLISECONDS or self._places.has_consumers or self.sessions.waiting:
            return False
        return now - self._used >= limit

    def send(self, incoming: Sequence[IncomingMessage]) -> list[int]:
        """Take messages in, all or none; return their sequence numbers. A duplicate is dropped and gets 0.

        Raises:
            QuotaExceededError: the queue is full.
            NotAllowedError: the queue has sessions and a message names none.
            EntityDisabledError: the queue's status forbids to send.
            EntityNotFoundError: the queue was deleted, here and in the settlements.
        """
        self.check_sending()
        self._used = self._clock()
        size = sum(len(message.payload) for message in incoming)
        if (held := self.contents.size_bytes) + size > self.description.max_size_bytes:
            raise QuotaExceededError(
                f"queue {self.description.name!r} holds {held} of {self.description.max_size_bytes} octets "
                f"and cannot take {size} more: receive messages, or raise MaxSizeInMegabytes"
            )
        if self.description.requires_session and any(message.session_id is None for message in incoming):
            raise NotAllowedError(
                f"queue {self.description.name!r} requires sessions: set the session id of every message"
            )
        numbers = [self._enter(message) for message in incoming]
        for place in {place_of(self.messages[number]) for number in numbers if number in self.messages}:
            self._wake(place)
        return numbers

    def subscribe(self, consumer: Consumer, *, dead: bool) -> None:
        """Let a consumer take messages as far as its credit goes."""
        self._used = self._clock()
        self._places.join(consumer, dead=dead)

    def unsubscribe(self, consumer: Consumer, *, dead: bool, counted: bool) -> None:
        """Let a consumer go; a session it holds becomes free (``counted``: as a failed delivery)."""
        self._used = self._clock()
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
        self.contents.remove(self._unlock(token))
        self.completed += 1

    def abandon(self, token: bytes, properties: dict[str, Any] | None = None, *, counted: bool = True) -> None:
        """Return a message, by default as a failed delivery; ``properties`` replace application properties."""
        payload = self._amended(token, properties)
        message = self._unlock(token)
        if payload is not None:
            self.contents.rewrite(message, payload)
        self._return(message, counted=counted)

    def defer(self, token: bytes, properties: dict[str, Any] | None = None) -> None:
        """Put a message aside; only its sequence number finds it again."""
        payload = self._amended(token, properties)
        message = self._unlock(token)
        if message.state is not State.DEFERRED:
            self.contents.set_state(message, State.DEFERRED)
        if payload is not None:
            self.contents.rewrite(message, payload)
        else:
            self.storage.changed(message)

    def dead_letter(self, token: bytes, properties: dict[str, Any]) -> None:
        """Move a message to the dead-letter sub-queue, with the reason and more among ``properties``."""
        payload = self._amended(token, properties)
        self._bury(self._unlock(token), payload)

    def renew(self, token: bytes) -> int:
        """Extend the lock of a message; return the moment it will expire.

        Raises:
            MessageLockLostError: the lock has expired.
        """
        message = self.locked.get(token)
        if message is None:
            raise self._lock_lost()
        message.locked_until = self._clock() + self.description.lock_duration
        self._locks.push(message.locked_until, token)
        return message.locked_until

    def lock_deferred(self, sequences: Sequence[int], *, dead: bool, deletes: bool) -> list[StoredMessage]:
        """Fetch deferred messages and lock them, or leave them for :meth:`remove_all` when the receiver ``deletes``.

        Raises:
            MessageNotFoundError: a number is not that of a deferred message that is free.
        """
        found = []
        for sequence in dict.fromkeys(sequences):
            message = self.messages.get(sequence)
            if message is None or message.state is not State.DEFERRED or message.lock_token or message.dead is not dead:
                raise MessageNotFoundError(f"no deferred message has the sequence number {sequence}")
            found.append(message)
        for message in () if deletes else found:
            self._lock(message, secrets.token_bytes(16), None)
        return found

    def remove_all(self, messages: Sequence[StoredMessage]) -> None:
        """Remove messages that were received and deleted."""
        for message in messages:
            self.contents.remove(message)

    def cancel(self, sequences: Sequence[int]) -> None:
        """Remove scheduled messages.

        Raises:
            MessageNotFoundError: a number is not that of a scheduled message; none is removed then.
        """
        found = []
        for sequence in sequences:
            message = self.messages.get(sequence)
            if message is None or message.state is not State.SCHEDULED:
                raise MessageNotFoundError(f"no scheduled message has the sequence number {sequence}")
            found.append(message)
        for message in found:
            self.contents.remove(message)

    def peek(self, start: int, count: int, *, dead: bool, session_id: str | None) -> Iterator[StoredMessage]:
        """Look at up to ``count`` messages from a sequence number on, in whatever state they are."""
        found = (
            message
            for message in self.contents.from_sequence(start)
            if message.dead is dead and session_id in {None, message.session_id}
        )
        return islice(found, max(count, 0))

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
        self.deleted = True
        self.contents.delete()
        self.locked.clear()
        self.sessions.end(self._gone())

    def tick(self, now: int) -> None:
        """Do what is due: locks and sessions that expire, messages that expire or become active, old history."""
        for token in self._locks.due(now):
            self._return(self._unlock(token), counted=True)
        for session in self.sessions.expired(now):
            self._expire_session(session)
        self.sessions.give_up(now)
        for sequence in self._schedule.due(now):
            self._activate(self.messages[sequence], now)
        for sequence in self._expiries.due(now):
            message = self.messages[sequence]
            if message.lock_token is None:
                self._expire(message)
        history = self.storage.state.history
        while history and (oldest := next(iter(history.items())))[1] <= now:
            del history[oldest[0]]

    def _enter(self, incoming: IncomingMessage) -> int:
        now, state, description = self._clock(), self.storage.state, self.description
        if description.requires_duplicate_detection and incoming.message_id:
            if state.history.get(incoming.message_id, 0) > now:
                return 0
            state.history.pop(incoming.message_id, None)
            state.history[incoming.message_id] = now + description.duplicate_detection_window
        message = StoredMessage(
            sequence=state.next_sequence,
            enqueued=now,
            size=len(incoming.payload),
            time_to_live=incoming.time_to_live,
            expires=self._expiry(incoming.time_to_live, now),
            session_id=incoming.session_id if description.requires_session else None,
            message_id=incoming.message_id if description.requires_duplicate_detection else None,
        )
        if incoming.scheduled is not None and incoming.scheduled > now:
            message.state, message.due, message.expires = State.SCHEDULED, incoming.scheduled, None
        state.next_sequence += 1
        self.contents.add(message, incoming.payload)
        self._take_in(message)
        self.sent += 1
        return message.sequence

    def _expiry(self, time_to_live: int | None, now: int) -> int | None:
        shortest = min(time_to_live or FOREVER_MILLISECONDS, self.description.default_time_to_live)
        return None if shortest >= FOREVER_MILLISECONDS else now + shortest

    def _take_in(self, message: StoredMessage) -> None:
        if message.due is not None:
            self._schedule.push(message.due, message.sequence)
        if message.expires is not None:
            self._expiries.push(message.expires, message.sequence)
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
        self._lock(message, token, consumer.session)
        consumer.deliver(message, token)

    def _lock(self, message: StoredMessage, token: bytes, session: Session | None) -> None:
        message.lock_token = token
        self.locked[token] = message
        if session is None:
            message.locked_until = self._clock() + self.description.lock_duration
            self._locks.push(message.locked_until, token)
        else:
            message.locked_until = session.locked_until
            session.tokens.add(token)

    def _lock_due(self, token: bytes) -> int | None:
        message = self.locked.get(token)
        return None if message is None else message.locked_until

    def _expiry_due(self, sequence: int) -> int | None:
        message = self.messages.get(sequence)
        return None if message is None else message.expires

    def _schedule_due(self, sequence: int) -> int | None:
        message = self.messages.get(sequence)
        return None if message is None else message.due

    def _disabled(self, what: str) -> EntityDisabledError:
        status = self.description.status
        return EntityDisabledError(f"the queue {self.description.name!r} {what}: its status is {status}")

    def _gone(self) -> EntityNotFoundError:
        return EntityNotFoundError(f"the queue {self.description.name!r} was deleted: create it, and attach again")

    def _lock_lost(self) -> MessageLockLostError:
        self.check()
        return MessageLockLostError(
            f"the lock of a message in queue {self.description.name!r} expired, or the message is settled already: "
            "it will be delivered again unless it was completed"
        )

    def _unlock(self, token: bytes) -> StoredMessage:
        message = self.locked.pop(token, None)
        if message is None:
            raise self._lock_lost()
        message.lock_token = message.locked_until = None
        if message.session_id is not None and (session := self.sessions.held.get(message.session_id)) is not None:
            session.tokens.discard(token)
        return message

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
        properties = {"DeadLetterReason": reason, "DeadLetterErrorDescription": description}
        payload = None
        try:
            payload = self.contents.amended(message, properties)
        except ArgumentError:
            # Its client sent properties that nobody can read: it has to leave the queue all the same, as it came.
            log.warning("dead letter without its reason", queue=self.description.name, reason=reason)
        self._bury(message, payload)

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
        expires = self._expiry(message.time_to_live, now)
        self.contents.renumber(message, state.next_sequence, enqueued=now, expires=expires)
        state.next_sequence += 1
        if message.expires is not None:
            self._expiries.push(message.expires, message.sequence)
        self._places.add(message)
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
            self._return(self._unlock(token), counted=counted)
        self.sessions.offer(self._open_sessions())
