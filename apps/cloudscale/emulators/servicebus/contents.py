"""The messages of a queue and what they amount to: their octets, and how many are in each state.

Every change goes to the storage as well, so figures, memory and journal cannot part.
"""

from __future__ import annotations

from bisect import bisect_left
from itertools import islice
from typing import TYPE_CHECKING, Any

import structlog

from cloudscale.emulators.servicebus.codec import CodecError
from cloudscale.emulators.servicebus.conditions import ArgumentError, MessageNotFoundError
from cloudscale.emulators.servicebus.message import with_application_properties
from cloudscale.emulators.servicebus.stored import State

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from cloudscale.emulators.servicebus.storage import QueueStorage
    from cloudscale.emulators.servicebus.stored import StoredMessage

log = structlog.get_logger(__name__)


class Contents:
    """What one queue and its dead-letter sub-queue hold, by sequence number."""

    def __init__(self, storage: QueueStorage) -> None:
        self.messages = storage.state.messages
        self.size_bytes = 0
        self.counts = {"dead": 0, State.DEFERRED: 0, State.SCHEDULED: 0}
        self._storage = storage
        self._sequences: list[int] | None = None
        for message in self.messages.values():
            self._count(message)

    @property
    def active(self) -> int:
        """Messages that wait or are locked, the dead ones apart."""
        return len(self.messages) - sum(self.counts.values())

    def add(self, message: StoredMessage, payload: bytes) -> None:
        """Take a new message in."""
        self._storage.add(message, payload)
        self.messages[message.sequence] = message
        if self._sequences is not None:
            self._sequences.append(message.sequence)
        self._count(message)

    def remove(self, message: StoredMessage) -> None:
        """Let a message go for good."""
        del self.messages[message.sequence]
        self._sequences = None
        self.size_bytes -= message.size
        if message.dead:
            self.counts["dead"] -= 1
        elif message.state is not State.ACTIVE:
            self.counts[message.state] -= 1
        self._storage.remove(message)

    def remove_all(self, messages: Sequence[StoredMessage]) -> None:
        """Remove messages that were cancelled, or received and deleted."""
        for message in messages:
            self.remove(message)

    def set_state(self, message: StoredMessage, state: State) -> None:
        """Change the state of a message; what is recorded of it is the caller's choice."""
        for value, change in ((message.state, -1), (state, 1)):
            if value is not State.ACTIVE and not message.dead:
                self.counts[value] += change
        message.state = state

    def bury(self, message: StoredMessage, payload: bytes | None) -> None:
        """Make a message a dead letter, with other octets if given; it expires no more."""
        self.set_state(message, State.ACTIVE)
        self.counts["dead"] += not message.dead
        message.dead, message.expires = True, None
        self.rewrite(message, payload)

    def rewrite(self, message: StoredMessage, payload: bytes | None) -> None:
        """Record a message anew, with other octets if given."""
        self.size_bytes -= message.size
        self._storage.rewrite(message, payload)
        self.size_bytes += message.size

    def renumber(self, message: StoredMessage, sequence: int, *, enqueued: int, expires: int | None) -> None:
        """Give a scheduled message the number and times under which it becomes active."""
        previous = message.sequence
        self.set_state(message, State.ACTIVE)
        del self.messages[previous]
        message.sequence, message.enqueued, message.due, message.expires = sequence, enqueued, None, expires
        self.messages[sequence] = message
        self._sequences = None
        self._storage.renumbered(previous, message)

    def amended(self, message: StoredMessage, properties: dict[str, Any]) -> bytes:
        """Build the octets of a message with other application properties; nothing changes by it.

        Raises:
            ArgumentError: AMQP has no encoding for them, or those it has cannot be read.
        """
        try:
            return with_application_properties(self._storage.payload(message), properties)
        except CodecError as error:
            raise ArgumentError(f"the properties cannot be set: {error}") from error

    def explained(self, message: StoredMessage, reason: str, description: str) -> bytes | None:
        """Build the octets of a dead letter with the reason for it; None where its properties cannot be read."""
        properties = {"DeadLetterReason": reason, "DeadLetterErrorDescription": description}
        try:
            return self.amended(message, properties)
        except ArgumentError:
            # Its client sent properties that nobody can read: it has to leave the queue all the same, as it came.
            queue = self._storage.state.description.name
            log.warning("dead letter without its reason", queue=queue, reason=reason)
            return None

    def from_sequence(self, start: int) -> Iterator[StoredMessage]:
        """Walk the messages in the order of their numbers, whatever their state."""
        if self._sequences is None:
            self._sequences = sorted(self.messages)
        sequences = self._sequences
        for index in range(bisect_left(sequences, start), len(sequences)):
            yield self.messages[sequences[index]]

    def peek(self, start: int, count: int, *, dead: bool, session_id: str | None) -> Iterator[StoredMessage]:
        """Look at up to ``count`` messages from a sequence number on, in whatever state they are."""
        found = (
            message
            for message in self.from_sequence(start)
            if message.dead is dead and session_id in {None, message.session_id}
        )
        return islice(found, max(count, 0))

    def deferred(self, sequences: Sequence[int], *, dead: bool) -> list[StoredMessage]:
        """Deferred messages by number, each once.

        Raises:
            MessageNotFoundError: a number is not that of a deferred message that is free.
        """
        found = []
        for sequence in dict.fromkeys(sequences):
            message = self.messages.get(sequence)
            if message is None or message.state is not State.DEFERRED or message.lock_token or message.dead is not dead:
                raise MessageNotFoundError(f"no deferred message has the sequence number {sequence}")
            found.append(message)
        return found

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
        self.remove_all(found)

    def delete(self) -> None:
        """End the queue and everything in it."""
        self._storage.delete()
        self._sequences = None
        self.size_bytes = 0
        self.counts = dict.fromkeys(self.counts, 0)

    def _count(self, message: StoredMessage) -> None:
        self.size_bytes += message.size
        if message.dead:
            self.counts["dead"] += 1
        elif message.state is not State.ACTIVE:
            self.counts[message.state] += 1
