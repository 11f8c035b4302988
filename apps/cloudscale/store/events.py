"""The events' container: create each event once, find events, count them.

A document's id is the event's id, so the store is the last line against duplicates: a create of an id that is there
fails with 409. One such item fails a whole transactional batch, so on 409 the ids that exist are looked up and the rest
is written again.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from enum import Enum
from time import perf_counter
from typing import TYPE_CHECKING, Any, Self

from cloudscale.errors import BackendUnavailableError, CredentialError
from cloudscale.store.client import open_client
from cloudscale.store.conditions import all_of, as_parameters, one_of
from cloudscale.store.containers import ContainerNames, ensure_containers
from cloudscale.store.creation_order import find_by_creation
from cloudscale.store.direct_writes import REQUEST_CHARGE, open_direct_writes
from cloudscale.store.errors import RESPONSES, MissingContainerError, translated
from cloudscale.store.latest import EventFilter, conditions_of, find_latest
from cloudscale.tasks import gather_all
from cloudscale.telemetry import metrics

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from azure.cosmos.aio import ContainerProxy, CosmosClient, DatabaseProxy

    from cloudscale.pipeline import Store
    from cloudscale.settings import Settings
    from cloudscale.store.batches import Batch, Document
    from cloudscale.store.creation_order import CreationFilter, CreationPage, Place
    from cloudscale.store.direct_writes import DirectWrites
    from cloudscale.store.latest import Position

IDS_PER_QUERY = 200
RANGES_IN_FLIGHT = 8
CONFLICT_ROUNDS = 10
"""How often a batch is resolved and written again; another worker can create the same ids in between."""


class CreateOutcome(Enum):
    """What became of one document that was to be created."""

    CREATED = "created"
    REDELIVERED = "redelivered"
    """The same acceptance was stored before: the message was delivered again, or an answer was lost."""
    DUPLICATE = "duplicate"
    """Another acceptance of the same event was stored before."""
    CONFLICT = "conflict"
    """Another event with the same id was stored before."""


class EventStore:
    """The events of one pipeline, as an async context manager that owns its client.

    ``client`` is the SDK's own, for the stores of profiles, alerts and leases that share it.
    """

    def __init__(self, spec: Store, settings: Settings) -> None:
        self._spec = spec
        self._settings = settings
        self._exits = AsyncExitStack()
        self._in_flight = asyncio.Semaphore(RANGES_IN_FLIGHT)
        self.names = ContainerNames.of(spec)
        self.client: CosmosClient
        self.database: DatabaseProxy
        self._container: ContainerProxy
        self._direct: DirectWrites | None = None

    async def __aenter__(self) -> Self:
        self.client = await self._exits.enter_async_context(open_client(self._spec, self._settings))
        self.database = self.client.get_database_client(self._spec.database)
        self._container = self.database.get_container_client(self.names.events)
        if self._spec.write_protocol == "Rest":
            opening = open_direct_writes(self._spec, self._settings, container=self.names.events)
            self._direct = await self._exits.enter_async_context(opening)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._exits.aclose()

    async def ensure(self, *, followers: bool = False, outlets: bool = False) -> None:
        """Create the database and the containers that are absent, those of followers and outlets only if asked for."""
        await ensure_containers(self.client, self._spec, followers=followers, outlets=outlets)

    async def create(self, batch: Batch) -> list[CreateOutcome]:
        """Create the documents of one batch, which must have different ids. How many go at once is the caller's choice.

        Raises:
            BackendError: nothing of the batch is sure to be written; the same call again is safe.
        """
        outcomes: list[CreateOutcome | None] = [None] * len(batch.documents)
        places = list(range(len(batch.documents)))
        for _ in range(CONFLICT_ROUNDS):
            if await self._write(batch if len(places) == len(outcomes) else batch.part(places)):
                for place in places:
                    outcomes[place] = CreateOutcome.CREATED
                return [outcome for outcome in outcomes if outcome is not None]
            there = await self._stored(batch.partition_key, [batch.documents[place]["id"] for place in places])
            for place in places:
                stored = there.get(batch.documents[place]["id"])
                outcomes[place] = None if stored is None else compare(batch.documents[place], stored)
            places = [place for place in places if outcomes[place] is None]
            if not places:
                return [outcome for outcome in outcomes if outcome is not None]
        raise BackendUnavailableError(
            f"cannot write {len(places)} events to {batch.partition_key}: "
            f"they conflicted {CONFLICT_ROUNDS} times with events that could not be read"
        )

    async def _write(self, batch: Batch) -> bool:
        """Create all documents of the batch in one transaction; False when one of the ids is there."""
        started = perf_counter()
        try:
            with translated(f"write {len(batch.documents)} events to partition {batch.partition_key}"):
                units = await self._direct.create(batch) if self._direct else None
                if units is None:
                    units = await self._create_by_the_sdk(batch)
        except MissingContainerError:
            await self.ensure()
            raise
        if units is None:
            return False
        metrics.STORE_DURATION.labels("create").observe(perf_counter() - started)
        metrics.STORE_REQUEST_UNITS.inc(units)
        return True

    async def _create_by_the_sdk(self, batch: Batch) -> float | None:
        """The request units that it took to create all documents; None when one of the ids is there."""
        operations = [("create", (document,)) for document in batch.documents]
        try:
            result = await self._container.execute_item_batch(operations, batch.partition_key)
        except RESPONSES as error:
            if error.status_code == 409:
                return None
            raise
        return float(result.get_response_headers().get(REQUEST_CHARGE, 0))

    async def _stored(self, partition_key: str, ids: Sequence[str]) -> dict[str, Document]:
        found: dict[str, Document] = {}
        for start in range(0, len(ids), IDS_PER_QUERY):
            condition, parameters = one_of("c.id", ids[start : start + IDS_PER_QUERY])
            query = f"SELECT c.id, c.payloadHash, c.acceptance FROM c WHERE {condition}"  # noqa: S608 - names only
            for row in await self._query(query, parameters, partition_key=partition_key):
                found[row["id"]] = row
        return found

    async def already_in(self, partition_key: str, documents: Sequence[Document]) -> dict[str, CreateOutcome]:
        """What became of those documents whose ids are in another partition than theirs, by acceptance.

        Raises:
            BackendError: it cannot be read; the same call again is safe.
        """
        try:
            stored = await self._stored(partition_key, [document["id"] for document in documents])
        except MissingContainerError:
            await self.ensure()
            raise
        return {
            document["acceptance"]: compare(document, stored[document["id"]])
            for document in documents
            if document["id"] in stored
        }

    async def find_events(
        self, which: EventFilter, *, limit: int = 100, after: Position | None = None
    ) -> list[Document]:
        """At most ``limit`` events that match, the last stored first, or those that follow ``after``."""

        async def query(text: str, parameters: Mapping[str, object]) -> list[Document]:
            # In one page: each further one of the service's may look at everything again.
            return await self._query(text, parameters, page_items=limit)

        return await find_latest(query, which, limit=limit, after=after)

    async def find_by_creation(
        self, tenant_id: str, which: CreationFilter, *, limit: int, after: Place | None = None
    ) -> CreationPage:
        """A page of a tenant's events in the order of their own time, see :mod:`cloudscale.store.creation_order`."""
        buckets = self._spec.partition_buckets
        return await find_by_creation(self._query, tenant_id, which, buckets=buckets, limit=limit, after=after)

    async def count(self, which: EventFilter = EventFilter()) -> int:  # noqa: B008 - frozen
        """How many events match, over all partitions."""
        condition, parameters = all_of(conditions_of(which))
        rows = await self._query(f"SELECT VALUE COUNT(1) FROM c{condition}", parameters)  # noqa: S608 - names only
        return sum(rows)

    async def query_ranges(self, query: str, parameters: Mapping[str, object]) -> list[Document]:
        """The answers of all physical partitions, each to the query as it stands; the caller merges them.

        So a query may group: the SDK does not merge groups of several partitions.
        """
        with translated("list the ranges of the events"):
            ranges = [each async for each in self._container.read_feed_ranges()]

        async def one(feed_range: dict[str, Any]) -> list[Document]:
            async with self._in_flight:
                return await self._query(query, parameters, feed_range=feed_range)

        return [row for rows in await gather_all(map(one, ranges)) for row in rows]

    async def acceptances(self, events: Iterable[tuple[str, str]]) -> dict[tuple[str, str], set[str]]:
        """The acceptance tokens that the ``(tenant id, event id)`` pairs are stored with; those stored only."""
        by_tenant: dict[str, list[str]] = {}
        for tenant_id, event_id in events:
            by_tenant.setdefault(tenant_id, []).append(event_id)
        found: dict[tuple[str, str], set[str]] = {}
        for tenant_id, ids in by_tenant.items():
            for start in range(0, len(ids), IDS_PER_QUERY):
                condition, parameters = one_of("c.id", ids[start : start + IDS_PER_QUERY])
                query = f"SELECT c.id, c.acceptance FROM c WHERE c.tenantId = @tenant AND {condition}"  # noqa: S608 - names
                for row in await self._query(query, {**parameters, "@tenant": tenant_id}):
                    found.setdefault((tenant_id, row["id"]), set()).add(row.get("acceptance", ""))
        return found

    async def purchases(self, partition_key: str, *, users: Sequence[str], since: str, until: str) -> list[Document]:
        """``userId`` and ``createdAt`` of the purchases in a partition by one of ``users`` between two times."""
        condition, parameters = one_of("c.userId", users)
        query = (
            "SELECT c.userId, c.createdAt FROM c WHERE c.eventType = 'purchase' "  # noqa: S608 - names only
            f"AND c.createdAt >= @since AND c.createdAt <= @until AND {condition}"
        )
        return await self._query(query, {**parameters, "@since": since, "@until": until}, partition_key=partition_key)

    async def accepts_writes(self) -> bool:
        """Write a probe, to tell a store that is away from a store that only refuses certain documents."""
        container = self.database.get_container_client(self.names.leases)
        try:
            with translated("write a probe"):
                await container.upsert_item({"id": "probe", "ttl": 60})
        except (BackendUnavailableError, CredentialError):
            return False
        return True

    async def _query(
        self,
        query: str,
        parameters: Mapping[str, object],
        *,
        partition_key: str | None = None,
        feed_range: dict[str, Any] | None = None,
        page_items: int | None = None,
    ) -> list[Any]:
        # The SDK fans out over all partitions when neither a key nor a range is given.
        given = {"partition_key": partition_key, "feed_range": feed_range, "max_item_count": page_items}
        scope: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
        with translated("query events"):
            return [
                row async for row in self._container.query_items(query, parameters=as_parameters(parameters), **scope)
            ]


def compare(document: Document, stored: Document) -> CreateOutcome:
    """What it means that ``stored`` has the id of ``document``."""
    if document["payloadHash"] != stored.get("payloadHash"):
        return CreateOutcome.CONFLICT
    same_acceptance = document["acceptance"] == stored.get("acceptance")
    return CreateOutcome.REDELIVERED if same_acceptance else CreateOutcome.DUPLICATE
