"""The alerts' container: what somebody should look at, each once."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from cloudscale.store.batches import cut
from cloudscale.store.conditions import Condition, all_of, as_parameters
from cloudscale.store.errors import MissingContainerError, translated
from cloudscale.tasks import gather_all

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cloudscale.store.batches import Batch
    from cloudscale.store.events import EventStore

MAXIMUM_ID_BYTES = 1023
"""Of Cosmos DB (https://learn.microsoft.com/azure/cosmos-db/concepts-limits#per-item-limits)."""

Kind = Literal["velocity", "user_velocity", "unusual_amount", "shared_value", "impossible_travel", "cart_abandoned"]


class Alert(msgspec.Struct, frozen=True, rename="camel", kw_only=True, omit_defaults=True):
    """Something to look at. ``id`` follows from what it is about, so that repeating it makes no second one."""

    id: str
    kind: Kind
    tenant_id: str
    created_at: str
    user_id: str | None = None
    client_address: str | None = None
    correlation_id: str | None = None
    evidence: dict[str, Any] = {}


def alert_id(kind: str, about: str) -> str:
    """An id that follows from what an alert is about, within the length of a document id."""
    text = f"{kind}-{about}"
    if len(text.encode()) <= MAXIMUM_ID_BYTES:
        return text
    return f"{text[:100]}~{hashlib.blake2b(text.encode(), digest_size=16).hexdigest()}"


class AlertStore:
    """The alerts of one pipeline, over the client of its :class:`EventStore`."""

    def __init__(self, store: EventStore) -> None:
        self._store = store
        self._container = store.database.get_container_client(store.names.alerts)

    async def raise_alerts(self, alerts: Sequence[Alert]) -> None:
        """Write the alerts; one that is there is written again, which changes nothing but its evidence.

        Raises:
            BackendError: some may not be written; the same call again is safe.
        """
        documents = [msgspec.to_builtins(alert) | {"partitionKey": alert.tenant_id} for alert in alerts]
        await gather_all(map(self._write, cut(documents)))

    async def find_alerts(
        self, *, kind: Kind | None = None, tenant_id: str | None = None, user_id: str | None = None, limit: int = 100
    ) -> list[Alert]:
        """At most ``limit`` alerts of those written last, the latest first."""
        where, parameters = all_of(
            [
                Condition("c.kind = @kind", "@kind", kind),
                Condition("c.tenantId = @tenant", "@tenant", tenant_id),
                Condition("c.userId = @user", "@user", user_id),
            ]
        )
        query = f"SELECT TOP {int(limit)} * FROM c{where} ORDER BY c._ts DESC"  # noqa: S608 - names only
        with translated("query alerts"):
            rows = self._container.query_items(query, parameters=as_parameters(parameters), max_item_count=limit)
            found = [msgspec.convert(row, Alert) async for row in rows]
        return sorted(found, key=lambda alert: alert.created_at, reverse=True)

    async def _write(self, batch: Batch) -> None:
        operations = [("upsert", (document,)) for document in batch.documents]
        try:
            with translated(f"write {len(batch.documents)} alerts"):
                await self._container.execute_item_batch(operations, batch.partition_key)
        except MissingContainerError:
            await self._store.ensure()
            raise
