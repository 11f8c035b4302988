"""Packs events into message bodies: a JSON array of events, bounded in number and in bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

MAXIMUM_BODY_BYTES = 192 * 1024
"""Below the 256 KiB that the Standard tier of Service Bus takes, headers included."""


def pack(events: Sequence[bytes], *, events_per_message: int) -> Iterator[tuple[int, bytes]]:
    """Pack encoded events in their order; yields how many each body holds, and the body.

    A single event that is larger than a body may be is packed alone: the broker decides then.
    """
    batch: list[bytes] = []
    size = 2
    for event in events:
        if batch and (len(batch) == events_per_message or size + len(event) + 1 > MAXIMUM_BODY_BYTES):
            yield len(batch), b"[" + b",".join(batch) + b"]"
            batch, size = [], 2
        batch.append(event)
        size += len(event) + 1
    if batch:
        yield len(batch), b"[" + b",".join(batch) + b"]"
