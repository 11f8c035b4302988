"""An outlet's own dead letters: events that its receiver did not take for as long as requests are repeated."""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import msgspec
from azure.cosmos.exceptions import CosmosHttpResponseError

from cloudscale.outlets.state import ID, NOT_FOUND
from cloudscale.store.conditions import as_parameters
from cloudscale.store.errors import translated

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cloudscale.store.batches import Document
    from cloudscale.store.events import EventStore

LONGEST_REASON: Final = 300
_OF_THE_STORE: Final = frozenset({"_rid", "_self", "_etag", "_attachments", "_ts", "_lsn"})


class ParkedEvent(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """An event that was put aside, whole, since the store deletes it after its time to live."""

    id: str
    outlet: str
    tenant_id: str
    event_id: str
    event_type: str
    parked_at: datetime
    attempts: int
    reason: str
    """What became of the last attempt."""
    is_wanted: bool = False
    """Whether somebody wants it sent again."""
    event: dict[str, Any]


def parked(event: Document, *, outlet: str, at: datetime, attempts: int, reason: str) -> ParkedEvent:
    """The event as it is put aside. Its id is made of the event's, so that it is parked once however often."""
    digest = hashlib.sha256(f"{event['tenantId']}\0{event['id']}".encode()).hexdigest()[:32]
    return ParkedEvent(
        id=digest,
        outlet=outlet,
        tenant_id=event["tenantId"],
        event_id=event["id"],
        event_type=event["eventType"],
        parked_at=at,
        attempts=attempts,
        reason=reason[:LONGEST_REASON],
        event={name: value for name, value in event.items() if name not in _OF_THE_STORE},
    )


class ParkedEvents:
    """The parked events of one outlet, in the outlets' container."""

    def __init__(self, store: EventStore, outlet: str) -> None:
        self._container = store.database.get_container_client(store.names.outlets)
        self._outlet = outlet

    async def put(self, events: Iterable[ParkedEvent]) -> None:
        """Park events, or write down anew what became of them."""
        with translated(f"park events of outlet {self._outlet}"):
            for event in events:
                await self._container.upsert_item(msgspec.to_builtins(event))

    async def count(self) -> int:
        """How many there are."""
        rows = await self._query(f"SELECT VALUE COUNT(1) FROM c WHERE c.id <> '{ID}'")  # noqa: S608 - a constant
        return int(sum(rows))

    async def find(self, *, limit: int, is_wanted: bool | None = None, ids: Iterable[str] = ()) -> list[ParkedEvent]:
        """At most ``limit`` of them, those that were parked first before others."""
        conditions = [f"c.id <> '{ID}'"]
        parameters: dict[str, object] = {}
        if is_wanted is not None:
            conditions.append("c.isWanted = @wanted")
            parameters["@wanted"] = is_wanted
        if chosen := list(ids):
            conditions.append("ARRAY_CONTAINS(@ids, c.eventId)")
            parameters["@ids"] = chosen
        where = " AND ".join(conditions)
        query = f"SELECT TOP {int(limit)} * FROM c WHERE {where} ORDER BY c.parkedAt"  # noqa: S608 - constants
        return [msgspec.convert(row, ParkedEvent) for row in await self._query(query, parameters)]

    async def remove(self, event: ParkedEvent) -> None:
        """Remove one; it may be gone already."""
        with translated(f"remove a parked event of outlet {self._outlet}"):
            try:
                await self._container.delete_item(event.id, self._outlet)
            except CosmosHttpResponseError as error:
                if error.status_code != NOT_FOUND:
                    raise

    async def _query(self, query: str, parameters: dict[str, object] | None = None) -> list[Any]:
        with translated(f"query the parked events of outlet {self._outlet}"):
            rows = self._container.query_items(
                query, parameters=as_parameters(parameters or {}), partition_key=self._outlet
            )
            return [row async for row in rows]
