"""What happens to messages by itself: scheduled ones become active, others expire."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cloudscale.emulators.servicebus.deadlines import Deadlines
from cloudscale.emulators.servicebus.description import FOREVER_MILLISECONDS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from cloudscale.emulators.servicebus.description import QueueDescription
    from cloudscale.emulators.servicebus.stored import StoredMessage


class Timetable:
    """When the messages of one queue fall due; ``messages`` are the queue's, by number."""

    def __init__(self, messages: Mapping[int, StoredMessage]) -> None:
        self._messages = messages
        self._expiries: Deadlines[int] = Deadlines(self._expires)
        self._schedule: Deadlines[int] = Deadlines(self._activates)

    def add(self, message: StoredMessage) -> None:
        """Note when a message becomes active and when it expires."""
        if message.due is not None:
            self._schedule.push(message.due, message.sequence)
        if message.expires is not None:
            self._expiries.push(message.expires, message.sequence)

    def scheduled(self, now: int) -> Iterator[StoredMessage]:
        """The scheduled messages whose time has come."""
        return (self._messages[sequence] for sequence in self._schedule.due(now))

    def expired(self, now: int) -> Iterator[StoredMessage]:
        """The messages whose time is over, locked ones too."""
        return (self._messages[sequence] for sequence in self._expiries.due(now))

    def _expires(self, sequence: int) -> int | None:
        message = self._messages.get(sequence)
        return None if message is None else message.expires

    def _activates(self, sequence: int) -> int | None:
        message = self._messages.get(sequence)
        return None if message is None else message.due


def expiry_of(description: QueueDescription, time_to_live: int | None, now: int) -> int | None:
    """The moment at which a message expires, by its own time to live or the queue's; None for never."""
    shortest = min(time_to_live or FOREVER_MILLISECONDS, description.default_time_to_live)
    return None if shortest >= FOREVER_MILLISECONDS else now + shortest
