"""The durable side of a queue: every change goes to the journal, payloads stay in memory while there is room.

A backlog of 100,000 packed messages is gigabytes, so only payloads within the budget of :class:`PayloadCache` are kept;
the others are read back from the journal when they are delivered.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cloudscale.emulators.servicebus import records

if TYPE_CHECKING:
    from cloudscale.emulators.servicebus.description import QueueDescription
    from cloudscale.emulators.servicebus.journal import Journal
    from cloudscale.emulators.servicebus.records import QueueState
    from cloudscale.emulators.servicebus.stored import StoredMessage

CACHE_BYTES = 64 * 1024 * 1024


@dataclass(slots=True)
class PayloadCache:
    """How many octets of payloads may stay in memory, over all queues."""

    capacity: int = CACHE_BYTES
    used: int = 0

    def keep(self, message: StoredMessage, payload: bytes) -> None:
        """Keep the payload with its message if there is room."""
        self.drop(message)
        if self.used + len(payload) <= self.capacity:
            message.payload = payload
            self.used += len(payload)

    def drop(self, message: StoredMessage) -> None:
        """Forget the payload."""
        if message.payload is not None:
            self.used -= len(message.payload)
            message.payload = None


class QueueStorage:
    """Writes the changes of one queue to the journal that all queues share."""

    def __init__(self, journal: Journal, cache: PayloadCache, state: QueueState) -> None:
        self._journal = journal
        self._cache = cache
        self.state = state

    def describe(self, description: QueueDescription) -> None:
        """Record new settings."""
        self.state.description = description
        self._journal.append(records.encode_queue(self.state))

    def add(self, message: StoredMessage, payload: bytes) -> None:
        """Record a new message, or new octets or flags of one that is here."""
        head = records.encode_message(self.state.identifier, message)
        segment, offset = self._journal.append(head, payload)
        message.segment, message.offset, message.size = segment, offset + len(head), len(payload)
        self._journal.retain(segment, len(payload))
        self._cache.keep(message, payload)

    def rewrite(self, message: StoredMessage, payload: bytes | None = None) -> None:
        """Record a message anew, with other octets if given; the record it had before dies."""
        content = self.payload(message) if payload is None else payload
        previous = message.segment, message.size
        self.add(message, content)
        self._journal.release(*previous)

    def changed(self, message: StoredMessage) -> None:
        """Record the delivery count and state of a message."""
        self._journal.append(records.encode_changed(self.state.identifier, message))

    def renumbered(self, previous: int, message: StoredMessage) -> None:
        """Record that a message has a new sequence number."""
        self._journal.append(records.encode_renumbered(self.state.identifier, previous, message))

    def remove(self, message: StoredMessage) -> None:
        """Record the end of a message."""
        self._journal.append(records.encode_removed(self.state.identifier, message.sequence))
        self._forget(message)

    def payload(self, message: StoredMessage) -> bytes:
        """The octets of a message, from memory or from the journal."""
        if message.payload is not None:
            return message.payload
        return self._journal.read(message.segment, message.offset, message.size)

    def set_session_state(self, session_id: str, value: bytes | None) -> None:
        """Record the state of a session."""
        if value is None:
            self.state.session_states.pop(session_id, None)
        else:
            self.state.session_states[session_id] = value
        self._journal.append(records.encode_session_state(self.state.identifier, session_id, value))

    def delete(self) -> None:
        """Record the end of the queue and of everything in it."""
        self._journal.append(records.encode_queue_deleted(self.state.identifier))
        for message in self.state.messages.values():
            self._forget(message)
        self.state.messages.clear()

    def _forget(self, message: StoredMessage) -> None:
        self._cache.drop(message)
        self._journal.release(message.segment, message.size)
