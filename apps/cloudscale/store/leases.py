"""Who reads which range of the change feed, and how far: one document for each range.

A worker owns a range for a time that it prolongs with every pass. Writes carry the ETag that was read, so of two
workers that want a range one gets it. What a worker writes while it wrongly believes to own a range is harmless: each
profile knows how far it has come.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import msgspec
from azure.core import MatchConditions
from azure.cosmos.exceptions import CosmosHttpResponseError

from cloudscale.store.errors import translated

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cloudscale.store.events import EventStore

TAKEN = frozenset({404, 409, 412})
"""Status codes that say that another worker was faster."""


class Lease(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """Ownership of one range. ``id`` is that of the range; ``since`` is where to begin without a continuation."""

    id: str
    owner: str = ""
    expires_at: datetime
    continuation: str | None = None
    since: datetime | None = None
    checked_at: datetime | None = None
    """When the range was last read to its end."""
    etag: str | None = msgspec.field(default=None, name="_etag")

    def is_held(self, now: datetime) -> bool:
        """Whether somebody owns it at ``now``."""
        return bool(self.owner) and self.expires_at > now


def leases_due(leases: Iterable[Lease], me: str, now: datetime) -> list[Lease]:
    """The leases that ``me`` should take so that all are owned and each owner has about as many as the others.

    Free ones are taken up to a fair share; with none free, one is taken from whoever has most if that is above it.
    """
    known = list(leases)
    held: dict[str, list[Lease]] = {me: []}
    free: list[Lease] = []
    for lease in known:
        if lease.is_held(now):
            held.setdefault(lease.owner, []).append(lease)
        else:
            free.append(lease)
    share = -(-len(known) // len(held))
    missing = share - len(held[me])
    if missing <= 0:
        return []
    if free:
        return free[:missing]
    richest = max(held.values(), key=len)
    return richest[:1] if len(richest) > share or len(richest) > len(held[me]) + 1 else []


class LeaseStore:
    """The leases of one pipeline, over the client of its :class:`EventStore`."""

    def __init__(self, store: EventStore) -> None:
        self._container = store.database.get_container_client(store.names.leases)

    async def all(self) -> list[Lease]:
        """All leases."""
        with translated("read leases"):
            rows = self._container.query_items("SELECT * FROM c WHERE c.id <> 'probe'")
            return [msgspec.convert(row, Lease) async for row in rows]

    async def create(self, lease: Lease) -> None:
        """Add a lease unless there is one for the range."""
        with translated(f"create lease {lease.id}"):
            try:
                await self._container.create_item(_document(lease))
            except CosmosHttpResponseError as error:
                if error.status_code not in TAKEN:
                    raise

    async def write(self, lease: Lease) -> Lease | None:
        """Replace a lease as it was read; None when somebody else has changed it since."""
        with translated(f"write lease {lease.id}"):
            try:
                written = await self._container.replace_item(
                    lease.id, _document(lease), etag=lease.etag, match_condition=MatchConditions.IfNotModified
                )
            except CosmosHttpResponseError as error:
                if error.status_code in TAKEN:
                    return None
                raise
            return msgspec.structs.replace(lease, etag=written.get_response_headers()["etag"])

    async def remove(self, lease: Lease) -> None:
        """Remove the lease of a range that is no more."""
        with translated(f"remove lease {lease.id}"):
            try:
                await self._container.delete_item(lease.id, lease.id)
            except CosmosHttpResponseError as error:
                if error.status_code not in TAKEN:
                    raise


def renewed(lease: Lease, owner: str, duration: timedelta) -> Lease:
    """The lease, owned by ``owner`` for ``duration`` from now on."""
    return msgspec.structs.replace(lease, owner=owner, expires_at=datetime.now(UTC) + duration)


def _document(lease: Lease) -> dict[str, object]:
    document: dict[str, object] = msgspec.to_builtins(lease)
    del document["_etag"]
    return document
