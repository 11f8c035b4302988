"""Creates many documents as a worker does: cut into batches, each created by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cloudscale.store.batches import cut

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cloudscale.store.batches import Document
    from cloudscale.store.events import CreateOutcome, EventStore


async def create_all(store: EventStore, documents: Sequence[Document]) -> list[CreateOutcome]:
    """Create each document that is not there yet; the outcomes are in the order of the documents."""
    outcomes: dict[int, CreateOutcome] = {}
    for batch in cut(documents):
        outcomes.update(zip(batch.indices, await store.create(batch), strict=True))
    return [outcomes[place] for place in range(len(documents))]
