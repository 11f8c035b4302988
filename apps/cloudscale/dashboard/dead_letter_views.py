"""What a viewer sees of dead letters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from cloudscale.dashboard.access import Viewer
    from cloudscale.queue.dead_letters import DeadLetter

SHOWN_CHARACTERS = 100
TEXT_CHARACTERS = 1_000
"""Of a field that should be an id or a name, and is a text of any length."""


def is_visible(letter: DeadLetter, viewer: Viewer) -> bool:
    """Whether all events of a dead letter are the viewer's; one without events belongs to nobody."""
    return viewer.tenants is None or (
        bool(letter.events) and all(viewer.sees(event.get("tenantId")) for event in letter.events)
    )


def summary(letter: DeadLetter) -> dict[str, Any]:
    """A dead letter without its message."""
    event = letter.events[0] if letter.events else {}
    return {
        "sequenceNumber": letter.sequence_number,
        # A browser's numbers are exact up to 2^53 only, and those of a partitioned queue are larger.
        "number": str(letter.sequence_number),
        "reason": letter.reason,
        "description": letter.description,
        "attempts": letter.attempts,
        "enqueuedAt": letter.enqueued_at,
        "events": len(letter.events),
        "eventId": _as_text(event.get("eventId")),
        "eventType": _as_text(event.get("eventType")),
        "tenantId": _as_text(event.get("tenantId")),
    }


def _as_text(value: object) -> str | None:
    """A field of a dead letter to be shown: it may be anything, and that may be why the letter is dead."""
    if value is None:
        return None
    if isinstance(value, str):
        return value[:TEXT_CHARACTERS]
    return msgspec.json.encode(value).decode()[:SHOWN_CHARACTERS]
