"""How an event ended, and what follows from it for the ledger, the dead letters and the metrics."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from cloudscale.ledger.settling import Settlement
from cloudscale.queue.poison import DeadLetterReason
from cloudscale.store.events import CreateOutcome
from cloudscale.telemetry import metrics
from cloudscale.worker.decoding import Accepted, Document, Poison
from cloudscale.worker.writing import Failure

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

CONFLICT = "another event with this id and another payload is stored already: choose a new eventId, or discard this one"


class Ending(msgspec.Struct, frozen=True, gc=False):
    """The end of one event: stored, a duplicate, or a dead letter.

    ``settlement`` is None for an event that no ledger can know, since it did not come through ingestion.
    """

    document: Any
    settlement: Settlement | None
    event: Accepted | None = None
    dead_letter: Poison | None = None

    @property
    def is_stored(self) -> bool:
        """Whether the event is in the store, written now or before."""
        return self.settlement is not None and self.settlement.kind in {"stored", "redelivered"}


_KINDS: dict[CreateOutcome, Literal["stored", "redelivered", "duplicate"]] = {
    CreateOutcome.CREATED: "stored",
    CreateOutcome.REDELIVERED: "redelivered",
    CreateOutcome.DUPLICATE: "duplicate",
}


def ending(event: Accepted, document: Document, result: CreateOutcome | Failure) -> Ending:
    """The end of an event that was to be created."""
    if isinstance(result, Failure):
        reason = DeadLetterReason.MAX_RETRIES_EXCEEDED
        return dead(Poison(_as_received(document), reason, result.description, result.attempts), event)
    if result is CreateOutcome.CONFLICT:
        return dead(Poison(_as_received(document), DeadLetterReason.IDEMPOTENCY_CONFLICT, CONFLICT), event)
    hour = document["receivedAt"][:13]
    settlement = Settlement(
        event.tenant_id, event.id, event.acceptance, hour, _KINDS[result], is_named=not event.accepted_unnamed
    )
    return Ending(document, settlement, event)


def dead(poison: Poison, event: Accepted | None = None) -> Ending:
    """The end of an event that becomes a dead letter."""
    return Ending(poison.event, settlement_of(poison), event, poison)


class _Accepted(msgspec.Struct, rename="camel"):
    tenant_id: str
    id: str
    acceptance: str
    received_at: str
    accepted_unnamed: bool = False


def settlement_of(poison: Poison) -> Settlement | None:
    """The settlement of a dead letter, if it carries what ingestion adds to an event."""
    try:
        known = msgspec.convert(poison.event, _Accepted)
    except msgspec.ValidationError:
        return None
    hour = known.received_at[:13]
    return Settlement(known.tenant_id, known.id, known.acceptance, hour, "dead", is_named=not known.accepted_unnamed)


def _as_received(document: Document) -> Document:
    """The event as it was in its message, without what this worker has added."""
    return {name: value for name, value in document.items() if name not in {"processedAt", "suspicious", "fraud"}}


def count(endings: Sequence[Ending], *, processed_at: datetime) -> None:
    """Count events that ended just now in the metrics, all at once."""
    persisted: Counter[tuple[str, str]] = Counter()
    suspicious: Counter[str] = Counter()
    dead_letters: Counter[str] = Counter()
    duplicates = 0
    lags: list[float] = []
    for each in endings:
        if each.dead_letter is not None:
            dead_letters[each.dead_letter.reason] += 1
        elif each.event is not None and each.is_stored:
            persisted[each.event.event_type, each.event.tenant_id] += 1
            lags.append((processed_at - each.event.received_at).total_seconds())
            if each.document["suspicious"]:
                suspicious[each.event.event_type] += 1
        else:
            duplicates += 1
    metrics.count_persisted(persisted)
    metrics.PROCESSING_LAG.observe_many(lags)
    for event_type, events in suspicious.items():
        metrics.FRAUD_DETECTED.labels(event_type).inc(events)
    for reason, events in dead_letters.items():
        metrics.DEAD_LETTERS.labels(reason).inc(events)
    if duplicates:
        metrics.DUPLICATES.labels("store").inc(duplicates)
