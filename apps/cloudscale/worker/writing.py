"""Writes events to the store until each is there or has failed by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from cloudscale.store.batches import cut
from cloudscale.store.errors import RequestRefusedError, StoreFailureError
from cloudscale.tasks import gather_all
from cloudscale.worker.persistence import OUTAGE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cloudscale.store.batches import Batch, Document
    from cloudscale.store.events import CreateOutcome, EventStore
    from cloudscale.worker.persistence import Persistence


ROUNDS_TO_BLAME_AN_EVENT = 10
"""An event is given up for answers of 500 only when it alone got them, in so many rounds of tries one after the other,
and the store took another write after each round. A store that cannot be reached, or says that it is busy, proves
nothing about an event."""


class Failure(msgspec.Struct, frozen=True):
    """An event that the store does not take while it takes others. ``attempts`` is how often it was tried."""

    description: str
    attempts: int


class EventWriter:
    """Creates documents, patient with a store that is away and short with a document that cannot be stored."""

    def __init__(self, store: EventStore, persistence: Persistence) -> None:
        self._store = store
        self._persistence = persistence

    async def write(self, documents: Sequence[Document], *, size: int) -> list[CreateOutcome | Failure]:
        """Create the documents, which have different ids in each partition; the results are in their order.

        ``size`` is about what they take as JSON, in bytes.

        Raises:
            StoreAwayError: no call to the store has succeeded for some seconds.
            InterruptedByStopError: the worker is to stop while the store is away.
        """
        batches = cut(documents, size=size)
        results: dict[int, CreateOutcome | Failure] = {}
        for batch, written in zip(batches, await gather_all(map(self._write, batches)), strict=True):
            results.update(zip(batch.indices, written, strict=True))
        return [results[index] for index in range(len(documents))]

    async def accepts_writes(self) -> bool:
        """Whether the store takes writes."""
        return await self._store.accepts_writes()

    async def _write(self, batch: Batch) -> list[CreateOutcome | Failure]:
        refused_rounds = 0
        while True:
            try:
                return list(await self._persistence.attempt(lambda: self._store.create(batch)))
            except RequestRefusedError as error:
                failure = Failure(str(error), 1)
            except OUTAGE as error:
                if not await self._persistence.is_there(self._store.accepts_writes):
                    refused_rounds = 0
                    await self._persistence.hold_on()
                    continue
                refused_rounds = refused_rounds + 1 if isinstance(error, StoreFailureError) else 0
                if len(batch.documents) == 1 and refused_rounds < ROUNDS_TO_BLAME_AN_EVENT:
                    await self._persistence.hold_on()
                    continue
                failure = Failure(str(error), refused_rounds * self._persistence.tries)
            if len(batch.documents) == 1:
                return [failure]
            # One bad document fails its whole batch, so look for it by halves.
            middle = len(batch.documents) // 2
            first = await self._write(batch.part(range(middle)))
            return first + await self._write(batch.part(range(middle, len(batch.documents))))
