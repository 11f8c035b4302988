"""Writes events to the store until each is there or has failed by itself.

The store tells copies of an event by its id within a month. Where the server gave an event its time, the other attempt
to send it can lie in the month beside. Ingestion names that partition, and it is looked into before the event is
written.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import msgspec

from cloudscale.store.batches import cut
from cloudscale.store.errors import RequestRefusedError, StoreFailureError
from cloudscale.tasks import gather_all
from cloudscale.worker.retry_policy import OUTAGE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cloudscale.store.batches import Batch, Document
    from cloudscale.store.events import CreateOutcome, EventStore
    from cloudscale.worker.retry_policy import StoreRetryPolicy


ROUNDS_TO_BLAME_AN_EVENT = 10
"""An event is given up for answers of 500 only when it alone got them, in so many rounds of tries one after the other,
and the store took another write after each round. A store that cannot be reached, or says that it is busy, proves
nothing about an event."""


NEIGHBOUR = "neighbourPartition"
"""The field of a queued event that names the other partition which may have it; it is not stored."""

CLOCK_TOLERANCE = timedelta(minutes=5)
"""How far clocks may be apart. A month that has not begun for any of them has no events to look for."""


class Failure(msgspec.Struct, frozen=True):
    """An event that the store does not take while it takes others. ``attempts`` is how often it was tried."""

    description: str
    attempts: int


class EventWriter:
    """Creates documents, patient with a store that is away and short with a document that cannot be stored."""

    def __init__(self, store: EventStore, retry_policy: StoreRetryPolicy) -> None:
        self._store = store
        self._retry_policy = retry_policy

    async def write(self, documents: Sequence[Document], *, size: int) -> list[CreateOutcome | Failure]:
        """Create the documents, which have different ids in each partition; the results are in their order.

        ``size`` is about what they take as JSON, in bytes.

        Raises:
            StoreAwayError: no call to the store has succeeded for some seconds.
            InterruptedByStopError: the worker is to stop while the store is away.
        """
        results = await self._already_beside(documents)
        places = [place for place in range(len(documents)) if place not in results]
        batches = cut([_as_stored(documents[place]) for place in places], size=size)
        for batch, written in zip(batches, await gather_all(map(self._write, batches)), strict=True):
            results.update(zip((places[index] for index in batch.indices), written, strict=True))
        return [results[index] for index in range(len(documents))]

    async def _already_beside(self, documents: Sequence[Document]) -> dict[int, CreateOutcome | Failure]:
        """The outcomes of those documents whose event is in the month beside already, by their places."""
        latest_month = f"{datetime.now(UTC) + CLOCK_TOLERANCE:%Y-%m}"
        beside: dict[str, list[int]] = {}
        for place, document in enumerate(documents):
            neighbour = document.get(NEIGHBOUR)
            if isinstance(neighbour, str) and neighbour.partition(":")[2][:7] <= latest_month:
                beside.setdefault(neighbour, []).append(place)
        found: dict[int, CreateOutcome | Failure] = {}
        for places, outcomes in zip(
            beside.values(),
            await gather_all(self._look(key, [documents[place] for place in places]) for key, places in beside.items()),
            strict=True,
        ):
            for place in places:
                outcome = outcomes.get(documents[place]["acceptance"])
                if outcome is not None:
                    found[place] = outcome
        return found

    async def _look(self, partition_key: str, documents: Sequence[Document]) -> dict[str, CreateOutcome]:
        return await self._retry_policy.call_until_answered(lambda: self._store.already_in(partition_key, documents))

    async def accepts_writes(self) -> bool:
        """Whether the store takes writes."""
        return await self._store.accepts_writes()

    async def _write(self, batch: Batch) -> list[CreateOutcome | Failure]:
        refused_rounds = 0
        while True:
            try:
                return list(await self._retry_policy.attempt(lambda: self._store.create(batch)))
            except RequestRefusedError as error:
                failure = Failure(str(error), 1)
            except OUTAGE as error:
                if not await self._retry_policy.is_available(self._store.accepts_writes):
                    refused_rounds = 0
                    await self._retry_policy.back_off()
                    continue
                refused_rounds = refused_rounds + 1 if isinstance(error, StoreFailureError) else 0
                if len(batch.documents) == 1 and refused_rounds < ROUNDS_TO_BLAME_AN_EVENT:
                    await self._retry_policy.back_off()
                    continue
                failure = Failure(str(error), refused_rounds * self._retry_policy.tries)
            if len(batch.documents) == 1:
                return [failure]
            # One bad document fails its whole batch, so look for it by halves.
            middle = len(batch.documents) // 2
            first = await self._write(batch.part(range(middle)))
            return first + await self._write(batch.part(range(middle, len(batch.documents))))


def _as_stored(document: Document) -> Document:
    if NEIGHBOUR not in document:
        return document
    return {name: value for name, value in document.items() if name != NEIGHBOUR}
