"""What comes into a queue: whether there is room for it, whether it came before, and what is stored of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cloudscale.emulators.servicebus.conditions import NotAllowedError, QuotaExceededError
from cloudscale.emulators.servicebus.stored import State, StoredMessage
from cloudscale.emulators.servicebus.timetable import expiry_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cloudscale.emulators.servicebus.contents import Contents
    from cloudscale.emulators.servicebus.message import IncomingMessage
    from cloudscale.emulators.servicebus.storage import QueueStorage


class Intake:
    """Takes messages into the contents of one queue, and remembers their ids where it looks for duplicates."""

    def __init__(self, storage: QueueStorage, contents: Contents) -> None:
        self._storage = storage
        self._contents = contents

    def check(self, incoming: Sequence[IncomingMessage]) -> None:
        """See that messages can come in together.

        Raises:
            QuotaExceededError: the queue is full.
            NotAllowedError: the queue has sessions and a message names none.
        """
        description = self._storage.state.description
        size = sum(len(message.payload) for message in incoming)
        if (held := self._contents.size_bytes) + size > description.max_size_bytes:
            raise QuotaExceededError(
                f"queue {description.name!r} holds {held} of {description.max_size_bytes} octets "
                f"and cannot take {size} more: receive messages, or raise MaxSizeInMegabytes"
            )
        if description.requires_session and any(message.session_id is None for message in incoming):
            raise NotAllowedError(f"queue {description.name!r} requires sessions: set the session id of every message")

    def enter(self, incoming: IncomingMessage, now: int) -> StoredMessage | None:
        """Store a message under the next number; None for a duplicate, which is dropped."""
        state = self._storage.state
        description = state.description
        if description.requires_duplicate_detection and incoming.message_id:
            if state.history.get(incoming.message_id, 0) > now:
                return None
            state.history.pop(incoming.message_id, None)
            state.history[incoming.message_id] = now + description.duplicate_detection_window
        message = StoredMessage(
            sequence=state.next_sequence,
            enqueued=now,
            size=len(incoming.payload),
            time_to_live=incoming.time_to_live,
            expires=expiry_of(description, incoming.time_to_live, now),
            session_id=incoming.session_id if description.requires_session else None,
            message_id=incoming.message_id if description.requires_duplicate_detection else None,
        )
        if incoming.scheduled is not None and incoming.scheduled > now:
            message.state, message.due, message.expires = State.SCHEDULED, incoming.scheduled, None
        state.next_sequence += 1
        self._contents.add(message, incoming.payload)
        return message

    def forget(self, now: int) -> None:
        """Drop the ids of messages that have been there for as long as duplicates are looked for."""
        history = self._storage.state.history
        while history and (oldest := next(iter(history.items())))[1] <= now:
            del history[oldest[0]]
