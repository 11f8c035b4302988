"""What a worker does with the events of the messages it holds: check, flag, store, act, settle.

Each step can be repeated: a crash at any point brings the messages back, and the second run finds what the first has
done. So the order is what matters: nothing is settled in the ledger before it is stored or on its way to the dead
letters, and no message is completed before all of this is done.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from cloudscale.events.timestamps import as_utc
from cloudscale.queue.poison import poison_message
from cloudscale.telemetry.tracing import Span
from cloudscale.worker.decoding import Decoded, UndecodableMessageError, decode
from cloudscale.worker.ending import Ending, count, dead, ending
from cloudscale.worker.event_log import log_alerts, log_dead_letters
from cloudscale.worker.traces import record_endings
from cloudscale.worker.writing import NEIGHBOUR

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cloudscale.ledger.settling import Ledger
    from cloudscale.queue.outbox import Outbox
    from cloudscale.store.alerts import Alert, AlertStore
    from cloudscale.store.batches import Document
    from cloudscale.store.events import CreateOutcome
    from cloudscale.telemetry.tracing import Tracing
    from cloudscale.worker.carts import CartWatch
    from cloudscale.worker.fraud import FraudCheck
    from cloudscale.worker.retry_policy import StoreRetryPolicy
    from cloudscale.worker.writing import EventWriter, Failure


@dataclass(frozen=True, kw_only=True)
class Processor:
    """The parts that processing needs. ``validate`` is as :func:`cloudscale.worker.decoding.decode` wants it."""

    validate: Callable[[Document], str | None]
    fraud: FraudCheck
    writer: EventWriter
    retry_policy: StoreRetryPolicy
    alerts: AlertStore
    carts: CartWatch
    outbox: Outbox
    ledger: Ledger
    tracing: Tracing | None = None

    async def process(self, bodies: Sequence[bytes]) -> dict[int, str]:
        """Process the events of all messages together.

        Returns:
            Why the messages at these places cannot be read at all: they are to be dead-lettered whole, the others
            completed.

        Raises:
            InterruptedByStopError: the worker is to stop while the store is away; nothing may be completed.
            StoreAwayError: the store has been away for some seconds; nothing may be completed.
            BackendError: the worker's own messages could not be sent; nothing may be completed.
        """
        unreadable: dict[int, str] = {}
        events = Decoded()
        for place, body in enumerate(bodies):
            try:
                decode(body, self.validate, events)
            except UndecodableMessageError as error:
                unreadable[place] = str(error)
        if events.cart_checks:
            await self._raise(await self.retry_policy.call_until_answered(lambda: self.carts.check(events.cart_checks)))
        endings = [dead(poison) for poison in events.poison]
        processed_at = datetime.now(UTC)
        if self.tracing is not None:
            record_endings(self.tracing, endings, processing=Span(processed_at.timestamp(), time.time()))
        if events.documents:
            endings += await self._store(events, processed_at, size=sum(map(len, bodies)))
        if endings:
            await self._end(endings, processed_at)
        return unreadable

    async def store_is_available(self) -> bool:
        """Whether the store takes writes."""
        return await self.retry_policy.is_available(self.writer.accepts_writes)

    async def wait_for_store(self) -> None:
        """Wait until the store takes writes.

        Raises:
            InterruptedByStopError: the worker is to stop.
        """
        await self.retry_policy.wait_until_available(self.writer.accepts_writes)

    async def _store(self, events: Decoded, processed_at: datetime, *, size: int) -> list[Ending]:
        """Flag and create the events, and start what follows from those that are stored."""
        documents, accepted = events.documents, events.accepted
        alerts = await self.fraud.flag(documents, accepted)
        stamp = as_utc(processed_at)
        for document in documents:
            document["processedAt"] = stamp
        writing_began_at = time.time()
        results = await self._create(documents, size=size)
        writing = Span(writing_began_at, time.time())
        await self._raise(list(alerts.values()))
        self.fraud.remember(alerts)
        log_alerts(alerts.values())
        endings = list(map(ending, accepted, documents, results))
        checks = self.carts.schedule([each.event for each in endings if each.event and fills_a_cart(each)])
        await self.outbox.send(checks)
        if self.tracing is not None:
            processing = Span(processed_at.timestamp(), time.time())
            record_endings(self.tracing, endings, processing=processing, writing=writing)
        return endings

    async def _create(self, documents: list[Document], *, size: int) -> list[CreateOutcome | Failure]:
        """Create each document; of several with one id the first goes first and the others find it in the store."""
        first: dict[tuple[str, str], int] = {}
        repeated: list[int] = []
        # Those that look into the month beside come after those that do not, so that they find them there.
        for place in sorted(range(len(documents)), key=lambda place: NEIGHBOUR in documents[place]):
            document = documents[place]
            is_beside = (document.get(NEIGHBOUR), document["id"]) in first
            if is_beside or first.setdefault((document["partitionKey"], document["id"]), place) != place:
                repeated.append(place)
        if not repeated:
            return await self.writer.write(documents, size=size)
        results: dict[int, CreateOutcome | Failure] = {}
        for places in (list(first.values()), repeated):
            written = await self.writer.write([documents[place] for place in places], size=size)
            results.update(zip(places, written, strict=True))
        return [results[place] for place in range(len(documents))]

    async def _raise(self, alerts: Sequence[Alert]) -> None:
        if alerts:
            await self.retry_policy.call_until_answered(lambda: self.alerts.raise_alerts(alerts))

    async def _end(self, endings: Sequence[Ending], processed_at: datetime) -> None:
        """Send dead letters on their way, then settle all in the ledger, then count what was settled just now."""
        poison = [each.dead_letter for each in endings if each.dead_letter is not None]
        await self.outbox.send(
            [
                poison_message(each.event, reason=each.reason, description=each.description, attempts=each.attempts)
                for each in poison
            ]
        )
        log_dead_letters(poison)
        settled = iter(await self.ledger.settle([each.settlement for each in endings if each.settlement is not None]))
        count([each for each in endings if each.settlement is None or next(settled)], processed_at=processed_at)


def fills_a_cart(each: Ending) -> bool:
    """Whether the event is stored and fills a cart."""
    document = each.document
    return each.is_stored and document["eventType"] == "user_action" and document.get("actionName") == "add_to_cart"
