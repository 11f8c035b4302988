"""The part of a container that a feed or query sees.

A request sees one partition (its key in the header), one partition key range (its id, and perhaps a part of it by
effective partition keys), or everything.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from cloudscale.emulators.cosmos.bindings import Bindings
from cloudscale.emulators.cosmos.decoding import whole_number
from cloudscale.emulators.cosmos.documents import Documents
from cloudscale.emulators.cosmos.emulator import Emulator, partition_key_of
from cloudscale.emulators.cosmos.errors import PARTITION_RANGE_GONE, CosmosError, cross_partition_disabled
from cloudscale.emulators.cosmos.partition_key import Component, canonical
from cloudscale.emulators.cosmos.protocol import Request
from cloudscale.emulators.cosmos.query.execution import MAXIMUM_PAGE_ITEMS
from cloudscale.emulators.cosmos.resources import Container

DEFAULT_PAGE_ITEMS: Final = 100
# The number of no partition.
NOTHING: Final = -1


@dataclass(frozen=True, slots=True)
class Extent:
    """The part of a container that a request sees: a partition, a span of effective partition keys, or both unset."""

    partition: int | None = None
    low: str = ""
    high: str = "FF"

    @property
    def is_everything(self) -> bool:
        """Whether nothing is left out."""
        return self.partition is None and not self.low and self.high == "FF"

    def holding(self, documents: Documents, key: Sequence[Component]) -> "Extent":
        """What of this extent is in one partition: nothing when it lies outside or nothing was ever stored in it."""
        if not self.is_everything and not self.low <= documents.container.partition_key.effective(key) < self.high:
            return Extent(NOTHING)
        partition = documents.partitions.find(key)
        return Extent(NOTHING if partition is None else partition)

    def part(self, boundaries: Sequence[str], start: str) -> tuple["Extent", str | None]:
        """What of a span lies in the partition key range that ``start`` is in, and where the next one begins.

        None when the span goes no further.
        """
        low = max(self.low, start)
        end = next((boundary for boundary in boundaries if boundary > low), self.high)
        return Extent(low=low, high=min(self.high, end)), end if end < self.high else None

    def conditions(self, container: int, bindings: Bindings, *, column: str = "d.partition") -> list[str]:
        """SQL conditions on a column of partitions. A plus before it leaves the choice of the index to others."""
        if self.partition is not None:
            return [f"{column} = {bindings.bind(self.partition)}"]
        if self.is_everything:
            return []
        span = f"effective >= {bindings.bind(self.low)} AND effective < {bindings.bind(self.high)}"
        return [f"+{column.removeprefix('+')} IN (SELECT number FROM partitions_{container} WHERE {span})"]


def partitions_with_prefix(container: int, bindings: Bindings, prefix: str, *, column: str = "d.partition") -> str:
    """An SQL condition on a column: the partition's key, one text, begins with ``prefix``.

    Keys are kept as JSON, in which a text begins as its beginning does, since each character is written by itself.
    """
    beginning = bindings.bind(canonical([prefix]).removesuffix('"]'))
    text = f"substr(key, 1, length({beginning})) = {beginning}"
    return f"{column} IN (SELECT number FROM partitions_{container} WHERE {text})"


def extent_of(emulator: Emulator, documents: Documents, request: Request) -> Extent:
    """What a request's headers say; raises CosmosError 400 or 410."""
    header = request.headers.get("x-ms-documentdb-partitionkey")
    if header is not None and not header.strip("[] "):
        raise cross_partition_disabled()
    prefix = None if header is None else documents.container.partition_key.prefix_of_header(header)
    if prefix is not None:
        # All keys that begin so lie between their beginning's hash and whatever follows it.
        low = documents.container.partition_key.effective(prefix)
        return Extent(low=low, high=low + "FF")
    key = partition_key_of(request, documents)
    if key is not None:
        return Extent().holding(documents, key)
    low, high = "", "FF"
    range_id = request.headers.get("x-ms-documentdb-partitionkeyrangeid")
    if range_id is not None:
        index = whole_number(range_id)
        if index is None or index >= len(emulator.boundaries) - 1:
            raise CosmosError(410, f"There is no partition key range '{range_id}'.", substatus=PARTITION_RANGE_GONE)
        low, high = emulator.boundaries[index], emulator.boundaries[index + 1]
    return Extent(
        low=max(low, request.headers.get("x-ms-start-epk", "")),
        high=min(high, request.headers.get("x-ms-end-epk", "FF")),
    )


def page_size_of(request: Request) -> int:
    """How many items a page has at most."""
    text = request.headers.get("x-ms-max-item-count", "")
    size = whole_number(text.removeprefix("-"))
    if size is None:
        return DEFAULT_PAGE_ITEMS
    # -1 leaves the size to the service.
    return MAXIMUM_PAGE_ITEMS if text.startswith("-") or size == 0 else min(size, MAXIMUM_PAGE_ITEMS)


def visible(container: Container, bindings: Bindings, now: int) -> list[str]:
    """SQL conditions on ``d`` that leave out documents whose time to live has run out."""
    default = container.default_ttl
    if default is None:
        return []
    own = f"d.ttl = -1 OR d.ts + d.ttl > {bindings.bind(now)}"
    if default == -1:
        return [f"(d.ttl IS NULL OR {own})"]
    return [f"(d.ttl IS NULL AND d.ts > {bindings.bind(now - default)} OR {own})"]
