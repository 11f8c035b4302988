"""Cuts documents into transactional batches: one partition key, at most 100 items, below the size of a request.

The limits are Cosmos DB's: 100 operations and 2 MB a transactional batch, all in one logical partition
(https://learn.microsoft.com/azure/cosmos-db/nosql/transactional-batch#limitations).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

Document = dict[str, Any]

ITEMS = 100
BATCH_BYTES = 1_500_000
"""Below the 2 MB of the service, since each operation is wrapped in a few bytes more."""

_encode = msgspec.json.Encoder().encode


class Batch(msgspec.Struct, frozen=True, gc=False):
    """Documents that are written together. ``indices`` are their places in the list that was cut."""

    partition_key: str
    documents: list[Document]
    indices: list[int]

    def part(self, places: Sequence[int]) -> Batch:
        """The batch of only the documents at ``places`` of this one."""
        return Batch(
            self.partition_key, [self.documents[place] for place in places], [self.indices[place] for place in places]
        )


def cut(documents: Sequence[Document], *, size: int | None = None) -> list[Batch]:
    """Group documents by their ``partitionKey`` and cut each group into batches, in the given order.

    ``size`` is about what all documents take as JSON, in bytes, if the caller knows; it saves measuring them.
    """
    is_small = size is not None and size <= BATCH_BYTES
    groups: dict[str, list[int]] = {}
    for index, document in enumerate(documents):
        groups.setdefault(document["partitionKey"], []).append(index)
    batches: list[Batch] = []
    for partition_key, indices in groups.items():
        for start in range(0, len(indices), ITEMS):
            places = indices[start : start + ITEMS]
            batch = Batch(partition_key, [documents[place] for place in places], places)
            batches.extend([batch] if is_small else _below_the_size(batch))
    return batches


def _below_the_size(batch: Batch) -> Iterator[Batch]:
    """Halve the batch until each part is small enough; a single document always is one."""
    if len(batch.documents) == 1 or len(_encode(batch.documents)) <= BATCH_BYTES:
        yield batch
        return
    middle = len(batch.documents) // 2
    yield from _below_the_size(batch.part(range(middle)))
    yield from _below_the_size(batch.part(range(middle, len(batch.documents))))
