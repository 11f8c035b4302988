"""Who reads which range of the change feed, and how far: for each follower, one document for each range.

A process owns a range for a time that it prolongs with every pass. Writes carry the ETag that was read, so of two that
want a range one gets it. What one writes while it wrongly believes to own a range is harmless: what a follower makes
knows how far it has come, as each profile does.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import msgspec
from azure.core import MatchConditions
from azure.cosmos.exceptions import CosmosHttpResponseError

from cloudscale.store.conditions import as_parameters
from cloudscale.store.errors import translated

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cloudscale.store.events import EventStore

TAKEN = frozenset({404, 409, 412})
"""Status codes that say that another process was faster."""

_SEPARATOR = "~"
"""Between a follower's name and a range, in the id of a document."""


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
    """The leases of one follower of a pipeline's feed, over the client of its :class:`EventStore`.

    The profiles' leases have a container of their own. Those of every other ``follower`` are in one, told apart by
    name, so each has its own position and a slow one holds up nobody.
    """

    def __init__(self, store: EventStore, *, follower: str = "") -> None:
        name = store.names.followers if follower else store.names.leases
        self._container = store.database.get_container_client(name)
        self._prefix = f"{follower}{_SEPARATOR}" if follower else ""

    async def all(self) -> list[Lease]:
        """All leases."""
        parameters = as_parameters({"@prefix": self._prefix})
        with translated("read leases"):
            rows = self._container.query_items(
                "SELECT * FROM c WHERE STARTSWITH(c.id, @prefix) AND c.id <> 'probe'", parameters=parameters
            )
            leases = [msgspec.convert(row, Lease) async for row in rows]
        return [msgspec.structs.replace(lease, id=lease.id.removeprefix(self._prefix)) for lease in leases]

    async def create(self, lease: Lease) -> None:
        """Add a lease unless there is one for the range."""
        with translated(f"create lease {lease.id}"):
            try:
                await self._container.create_item(self._document(lease))
            except CosmosHttpResponseError as error:
                if error.status_code not in TAKEN:
                    raise

    async def write(self, lease: Lease) -> Lease | None:
        """Replace a lease as it was read; None when somebody else has changed it since."""
        document = self._document(lease)
        with translated(f"write lease {lease.id}"):
            try:
                written = await self._container.replace_item(
                    str(document["id"]), document, etag=lease.etag, match_condition=MatchConditions.IfNotModified
                )
            except CosmosHttpResponseError as error:
                if error.status_code in TAKEN:
                    return None
                raise
            return msgspec.structs.replace(lease, etag=written.get_response_headers()["etag"])

    async def remove(self, lease: Lease) -> None:
        """Remove the lease of a range that is no more."""
        document_id = self._prefix + lease.id
        with translated(f"remove lease {lease.id}"):
            try:
                await self._container.delete_item(document_id, document_id)
            except CosmosHttpResponseError as error:
                if error.status_code not in TAKEN:
                    raise

    def _document(self, lease: Lease) -> dict[str, object]:
        document: dict[str, object] = msgspec.to_builtins(lease)
        del document["_etag"]
        document["id"] = self._prefix + lease.id
        return document


def renewed(lease: Lease, owner: str, duration: timedelta) -> Lease:
    """The lease, owned by ``owner`` for ``duration`` from now on."""
    return msgspec.structs.replace(lease, owner=owner, expires_at=datetime.now(UTC) + duration)
