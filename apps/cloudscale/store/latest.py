"""Finds the events that were stored last, page by page, at a cost that follows the page and not the store.

Pages go on behind the last event of the one before (keyset pagination): in the order of the second in which events
were written, the newest first, and within one by their ids. Each query orders by one property, which every container
has an index for; two would need a composite one.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from cloudscale.events.timestamps import as_utc
from cloudscale.store.conditions import Condition, all_of

if TYPE_CHECKING:
    from cloudscale.store.batches import Document

CLOCK_DIFFERENCE = timedelta(minutes=1)
"""By which the clock of an ingestion may be ahead of the store's; else an event is stored after it is received."""

Query = Callable[[str, Mapping[str, object]], Awaitable[list[Any]]]


class EventFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which events to find; a field that is None does not restrict. The times are of ``receivedAt``, with a zone."""

    event_id: str | None = None
    correlation_id: str | None = None
    tenant_id: str | None = None
    user_id: str | None = None
    event_type: str | None = None
    device_id: str | None = None
    suspicious: bool | None = None
    since: datetime | None = None
    until: datetime | None = None


class Position(NamedTuple):
    """Where an event stands in the order of all: the Unix second in which it was written, and its id."""

    written: int
    event_id: str


def position_of(document: Document) -> Position:
    """Where a stored event stands."""
    return Position(document["_ts"], document["id"])


def order_of(document: Document) -> tuple[int, str]:
    """What stored events are sorted by."""
    return -document["_ts"], document["id"]


def conditions_of(which: EventFilter) -> list[Condition]:
    """What a filter says of a document."""
    # Keys begin with their tenant: where many tenants share a container, the others' partitions are left alone.
    keys = None if which.tenant_id is None else f"{which.tenant_id}:"
    written = None if which.since is None else int((which.since - CLOCK_DIFFERENCE).timestamp())
    return [
        Condition("c.id = @id", "@id", which.event_id),
        Condition("c.correlationId = @correlation", "@correlation", which.correlation_id),
        Condition("c.tenantId = @tenant", "@tenant", which.tenant_id),
        Condition("STARTSWITH(c.partitionKey, @keys)", "@keys", keys),
        Condition("c.userId = @user", "@user", which.user_id),
        Condition("c.eventType = @type", "@type", which.event_type),
        Condition("c.deviceId = @device", "@device", which.device_id),
        Condition("c.suspicious = @suspicious", "@suspicious", which.suspicious),
        Condition("c.receivedAt >= @since", "@since", which.since and as_utc(which.since)),
        Condition("c._ts >= @written", "@written", written),
        Condition("c.receivedAt < @until", "@until", which.until and as_utc(which.until)),
    ]


async def find_latest(query: Query, which: EventFilter, *, limit: int, after: Position | None = None) -> list[Document]:
    """At most ``limit`` events that match, the last written first, or those that follow ``after``."""
    found: list[Document] = []
    older: list[Condition] = []
    if after is not None:
        found = await _of_second(query, which, after, limit=limit)
        older = [Condition("c._ts < @before", "@before", after.written)]
    if wanted := limit - len(found):
        where, parameters = all_of([*conditions_of(which), *older])
        text = f"SELECT TOP {wanted} * FROM c{where} ORDER BY c._ts DESC"  # noqa: S608 - names only
        more = await query(text, parameters)
        if len(more) == wanted:
            # Which of the last second's events came is chance.
            last = Position(more[-1]["_ts"], "")
            more = [document for document in more if document["_ts"] != last.written]
            more += await _of_second(query, which, last, limit=wanted - len(more))
        found += sorted(more, key=order_of)
    return found


async def _of_second(query: Query, which: EventFilter, after: Position, *, limit: int) -> list[Document]:
    """At most ``limit`` events that were written in a second, the first by id of those behind the position's."""
    where, parameters = all_of(
        [
            *conditions_of(which),
            Condition("c._ts = @second", "@second", after.written),
            Condition("c.id > @after", "@after", after.event_id),
        ]
    )
    return await query(f"SELECT TOP {limit} * FROM c{where} ORDER BY c.id", parameters)  # noqa: S608 - names only
