"""The worker's part of the sampled events' traces."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cloudscale.telemetry.tracing import Span, is_sampled

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cloudscale.telemetry.tracing import Tracing
    from cloudscale.worker.ending import Ending


def record_endings(
    tracing: Tracing, endings: Iterable[Ending], *, processing: Span, writing: Span | None = None
) -> None:
    """Record how each sampled event of a group was processed and written."""
    for each in endings:
        document = each.document
        traceparent = document.get("traceparent") if isinstance(document, dict) else None
        if isinstance(traceparent, str) and is_sampled(traceparent):
            tracing.record_processing(
                traceparent,
                event_id=str(document.get("eventId", "")),
                event_type=str(document.get("eventType", "")),
                outcome=_outcome(each),
                processing=processing,
                writing=writing,
            )


def _outcome(each: Ending) -> str:
    if each.dead_letter is not None:
        return str(each.dead_letter.reason)
    return "persisted" if each.is_stored else "duplicate"
