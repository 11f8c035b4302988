"""Cuts what waits for an outlet into requests: so many events at the most, and not too large together."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from cloudscale.outlets.cloud_event import content, encoded, message_id

if TYPE_CHECKING:
    from cloudscale.store.batches import Document

LARGEST_BODY_BYTES: Final = 1_000_000
"""An event that is larger goes by itself."""


@dataclass(frozen=True)
class Request:
    """Events that are sent together."""

    id: str
    """The same whenever the same events are sent together."""
    events: tuple[Document, ...]
    content_type: str
    body: bytes


class Waiting:
    """Events of one range that wait to be sent, in order.

    Args:
        outlet: name of the outlet.
        source: the first part of the attribute ``source``.
        size: events in one request.
    """

    def __init__(self, outlet: str, *, source: str, size: int) -> None:
        self._outlet = outlet
        self._source = source
        self._size = size
        self._events: deque[Document] = deque()
        self._next: Request | None = None

    def __len__(self) -> int:
        return len(self._events)

    def add(self, events: list[Document]) -> None:
        """Let more events wait behind the others."""
        self._events.extend(events)

    def first(self) -> Request:
        """The request with the events that wait longest: the same again until they are removed."""
        if self._next is None:
            self._next = self._made()
        return self._next

    def remove_first(self) -> None:
        """Let the events of that request wait no longer."""
        for _ in self.first().events:
            self._events.popleft()
        self._next = None

    def _made(self) -> Request:
        chosen: list[Document] = []
        bodies: list[bytes] = []
        size = 0
        for event in self._events:
            if len(chosen) == self._size:
                break
            body = encoded(event, source=self._source)
            size += len(body)
            if bodies and size > LARGEST_BODY_BYTES:
                break
            chosen.append(event)
            bodies.append(body)
        content_type, body = content(bodies, is_batched=self._size > 1)
        return Request(message_id(self._outlet, chosen), tuple(chosen), content_type, body)
