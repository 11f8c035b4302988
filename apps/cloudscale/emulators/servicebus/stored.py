"""A message as the broker keeps it: what it has to know in memory, and where the journal holds the payload."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from cloudscale.emulators.servicebus.message import DeliveryState


class State(IntEnum):
    """Where a message is in its life; the numbers of the first three are those of ``x-opt-message-state``."""

    ACTIVE = 0
    DEFERRED = 1
    SCHEDULED = 2


@dataclass(slots=True, eq=False)
class StoredMessage:
    """One message of a queue. Times are milliseconds since the epoch, sizes octets.

    ``payload`` is ``None`` when only the journal holds it. ``due`` is when a scheduled message becomes active.
    """

    sequence: int
    enqueued: int
    size: int
    state: State = State.ACTIVE
    dead: bool = False
    delivery_count: int = 0
    time_to_live: int | None = None
    expires: int | None = None
    due: int | None = None
    session_id: str | None = None
    message_id: str | None = None
    payload: bytes | None = None
    segment: int = 0
    offset: int = 0
    lock_token: bytes | None = None
    locked_until: int | None = None

    def delivery_state(self, *, source: str) -> DeliveryState:
        """What the broker writes on the message when it hands it out; ``source`` is the name of its queue."""
        return DeliveryState(
            sequence=self.sequence,
            enqueued=self.enqueued,
            delivery_count=self.delivery_count,
            time_to_live=self.time_to_live,
            locked_until=self.locked_until,
            dead_letter_source=source if self.dead else None,
            state=self.state,
        )
