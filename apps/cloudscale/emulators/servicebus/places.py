"""Which messages wait and who takes them: at the queue itself, at its dead letters, and at each of its sessions."""

from __future__ import annotations

from collections import deque
from heapq import heappop, heappush
from typing import TYPE_CHECKING, Protocol

from cloudscale.emulators.servicebus.stored import State

if TYPE_CHECKING:
    from collections.abc import Container, Mapping

    from cloudscale.emulators.servicebus.sessions import Session
    from cloudscale.emulators.servicebus.stored import StoredMessage

Place = tuple[bool, str | None]
"""Where a message waits: in the dead-letter sub-queue or not, and in which session."""


class Consumer(Protocol):
    """The end of a link that takes messages. ``deletes`` is the receive-and-delete mode."""

    credit: int
    deletes: bool
    session: Session | None

    def deliver(self, message: StoredMessage, token: bytes) -> None:
        """Send a message; ``token`` is its lock, and its delivery tag."""


def place_of(message: StoredMessage) -> Place:
    """Where a message waits; dead letters have no sessions."""
    return message.dead, None if message.dead else message.session_id


def place_for(consumer: Consumer, *, dead: bool) -> Place:
    """Where a consumer takes messages."""
    return dead, None if consumer.session is None else consumer.session.identifier


class Places:
    """Brings waiting messages, in the order of their numbers, and consumers, in turn, together.

    ``messages`` are the queue's. A number stays in its heap when its message is locked, moved or removed meanwhile, for
    finding it there would cost more than passing over it when it comes up.
    """

    def __init__(self, messages: Mapping[int, StoredMessage]) -> None:
        self._messages = messages
        self._waiting: dict[Place, list[int]] = {}
        self._consumers: dict[Place, deque[Consumer]] = {}

    @property
    def has_consumers(self) -> bool:
        """Whether somebody takes messages anywhere in the queue."""
        return bool(self._consumers)

    def add(self, message: StoredMessage) -> None:
        """Let a message wait."""
        heappush(self._waiting.setdefault(place_of(message), []), message.sequence)

    def join(self, consumer: Consumer, *, dead: bool) -> None:
        """Let a consumer take messages as far as its credit goes."""
        self._consumers.setdefault(place_for(consumer, dead=dead), deque()).append(consumer)

    def leave(self, consumer: Consumer, *, dead: bool) -> None:
        """Let a consumer go."""
        place = place_for(consumer, dead=dead)
        consumers = self._consumers.get(place)
        if consumers is not None and consumer in consumers:
            consumers.remove(consumer)
            if not consumers:
                del self._consumers[place]

    def match(self, place: Place) -> tuple[StoredMessage, Consumer] | None:
        """The next message at a place and the consumer whose turn it is, or None while one of them is not there."""
        waiting, consumers = self._waiting.get(place), self._consumers.get(place)
        if waiting is None or consumers is None:
            return None
        for _ in range(len(consumers)):
            consumer = consumers[0]
            consumers.rotate(-1)
            if consumer.credit > 0:
                break
        else:
            return None
        message = self._pop(place, waiting)
        return None if message is None else (message, consumer)

    def open_sessions(self, held: Container[str]) -> list[str]:
        """The sessions that have messages and are not ``held``."""
        return [
            session
            for (_, session), waiting in list(self._waiting.items())
            if session is not None and session not in held and self._drop_stale(waiting)
        ]

    def _pop(self, place: Place, waiting: list[int]) -> StoredMessage | None:
        found = None
        while waiting and found is None:
            message = self._messages.get(heappop(waiting))
            if message is not None and _waits(message) and place_of(message) == place:
                found = message
        if not waiting:
            # Sessions come and go: an empty place must not stay for ever.
            del self._waiting[place]
        return found

    def _drop_stale(self, waiting: list[int]) -> bool:
        """Drop numbers of messages that are gone from the front; say whether a message is left."""
        while waiting:
            message = self._messages.get(waiting[0])
            if message is not None and _waits(message):
                return True
            heappop(waiting)
        return False


def _waits(message: StoredMessage) -> bool:
    return message.state is State.ACTIVE and message.lock_token is None
