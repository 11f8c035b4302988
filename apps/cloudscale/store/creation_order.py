"""Pages of one tenant's events in the order of their own time, ``createdAt``, at a cost that follows the page.

A tenant's events are partitioned by the month of that time, so a page is looked for in one month after the other, each
an ordered query of the month's own partition. Where a month ends too early, one query finds the next that has an event
that matches; a page looks into :data:`MONTHS_PER_PAGE` at the most, and one that ends there is short and goes on.

Events of one moment stand by their ids, in both directions. Each query orders by one property, which every container
has an index for; two would need a composite one.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

import msgspec

from cloudscale.events.timestamps import as_utc
from cloudscale.store.batches import Document
from cloudscale.store.conditions import Condition, all_of

if TYPE_CHECKING:
    from collections.abc import Mapping

MONTHS_PER_PAGE: Final = 4
MONTH_CHARACTERS: Final = 7
"""Of a time's text: ``yyyy-MM``, with which the partition's key goes on behind the tenant."""

_INSTANT: Final = timedelta(microseconds=1)
"""Times are kept in microseconds."""

_LATE_SECONDS: Final = 60


class Query(Protocol):
    """Asks the events' container: the partition with the key, or all of them without one."""

    async def __call__(
        self, query: str, parameters: Mapping[str, object], *, partition_key: str | None = None, page_items: int
    ) -> list[Any]:
        """The answers."""
        ...


class CreationFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which events to find, and in which order; a field that is None does not restrict.

    The times are of ``createdAt``, with a zone.
    """

    event_id: str | None = None
    user_id: str | None = None
    event_type: str | None = None
    device_id: str | None = None
    suspicious: bool | None = None
    since: datetime | None = None
    until: datetime | None = None
    """Exclusive."""
    newest_first: bool = True


class Place(NamedTuple):
    """Where a page goes on: behind the event of this time and id, or behind all of this time when the id is None."""

    created_at: str
    event_id: str | None


class CreationPage(msgspec.Struct, frozen=True):
    """Events in their order; ``following`` is the place that the next page goes on at, None when there is no more."""

    documents: list[Document]
    following: Place | None


async def find_by_creation(
    query: Query,
    tenant_id: str,
    which: CreationFilter,
    *,
    buckets: int,
    limit: int,
    after: Place | None = None,
) -> CreationPage:
    """At most ``limit`` events of a tenant that match, or those that follow ``after``.

    ``buckets`` is how many partitions the store has for a tenant's month.

    Raises:
        BackendError: the store cannot be read.
    """
    search = _Search(query, tenant_id, which, buckets=buckets)
    # One more than asked for tells whether more follow.
    wanted = limit + 1
    found: list[Document] = []
    edge: Place | None = None
    month = await search.first_month(after)
    for _ in range(MONTHS_PER_PAGE):
        if month is None:
            return CreationPage(found, None)
        found += await search.of_month(month, after, limit=wanted - len(found))
        if len(found) == wanted:
            return CreationPage(found[:limit], place_of(found[limit - 1]))
        edge = search.edge_of(month)
        month = await search.month_behind(edge)
    return CreationPage(found, None if month is None else edge)


def place_of(document: Document) -> Place:
    """Where a stored event stands."""
    return Place(document["createdAt"], document["id"])


class _Search:
    """The queries of one page."""

    def __init__(self, query: Query, tenant_id: str, which: CreationFilter, *, buckets: int) -> None:
        self._query = query
        self._tenant_id = tenant_id
        self._which = which
        self._buckets = buckets
        self._beyond, self._direction = ("<", "DESC") if which.newest_first else (">", "ASC")
        self._inside = ">=" if which.newest_first else "<="

    async def first_month(self, after: Place | None) -> str | None:
        """The month that the page begins in, None if there is none."""
        if after is not None and after.event_id is not None:
            return after.created_at[:MONTH_CHARACTERS]
        if after is not None:
            return await self.month_behind(after)
        if self._which.newest_first and self._which.until is not None:
            return as_utc(self._which.until - _INSTANT)[:MONTH_CHARACTERS]
        if not self._which.newest_first and self._which.since is not None:
            return as_utc(self._which.since)[:MONTH_CHARACTERS]
        return await self.month_behind(None)

    async def month_behind(self, edge: Place | None) -> str | None:
        """The first month behind ``edge`` with an event that matches; the first of all without an edge."""
        conditions = [*self._of_tenant(""), *self._matching(), *self._behind(edge)]
        # Any event that matches bounds the time of the first one, as in :meth:`_bound`.
        any_time = await self._first_time(conditions, order="_ts")
        if any_time is None:
            return None
        bound = Condition(f"c.createdAt {self._inside} @bound", "@bound", any_time)
        time = await self._first_time([*conditions, bound], order="createdAt")
        return None if time is None else time[:MONTH_CHARACTERS]

    async def _first_time(self, conditions: list[Condition], *, order: str) -> str | None:
        where, parameters = all_of(conditions)
        text = f"SELECT TOP 1 c.createdAt FROM c{where} ORDER BY c.{order} {self._direction}"  # noqa: S608 - names
        rows = await self._query(text, parameters, page_items=1)
        return str(rows[0]["createdAt"]) if rows else None

    async def of_month(self, month: str, after: Place | None, *, limit: int) -> list[Document]:
        """At most ``limit`` events of a month, or those that follow ``after``."""
        found: list[Document] = []
        if after is not None and after.event_id is not None and after.created_at.startswith(month):
            found = await self._of_moment(month, after, limit=limit)
        wanted = limit - len(found)
        if wanted == 0:
            return found
        conditions = [*self._matching(), *self._behind(after)]
        bound = await self._bound(month, after, conditions, limit=wanted + 1)
        # One more tells whether it is chance which of the last moment's events came.
        rows = await self._of_partition(
            month, [*conditions, bound], order=f"createdAt {self._direction}", limit=wanted + 1
        )
        cut: list[Document] = []
        if len(rows) > wanted and rows[wanted]["createdAt"] == rows[wanted - 1]["createdAt"]:
            last = Place(rows[wanted]["createdAt"], "")
            rows = [document for document in rows if document["createdAt"] != last.created_at]
            cut = await self._of_moment(month, last, limit=wanted - len(rows))
        rows.sort(key=_id_of)
        rows.sort(key=_time_of, reverse=self._which.newest_first)
        return [*found, *rows[:wanted], *cut]

    async def _bound(self, month: str, after: Place | None, conditions: list[Condition], *, limit: int) -> Condition:
        """What the times of the page's events are within, from as many others that match.

        A store that keeps no index in the order of these times, as the emulator, looks at every event of the month; a
        bound lets it leave most of them out unread. Those that were written about when the page's events happened are
        found at once, and are the page itself where events arrive in their order.
        """
        near = []
        if after is not None:
            written = int(datetime.fromisoformat(after.created_at).timestamp())
            # Written a little later than it happened.
            near = [
                Condition("c._ts <= @written", "@written", written + _LATE_SECONDS)
                if self._which.newest_first
                else Condition("c._ts >= @written", "@written", written)
            ]
        rows = await self._of_partition(
            month, [*conditions, *near], order=f"_ts {self._direction}", limit=limit, fields="c.createdAt"
        )
        times = [str(row["createdAt"]) for row in rows]
        of_all = min if self._which.newest_first else max
        return Condition(f"c.createdAt {self._inside} @bound", "@bound", of_all(times) if len(times) == limit else None)

    def edge_of(self, month: str) -> Place:
        """The end of a month, in the order of the search."""
        start = datetime.fromisoformat(f"{month}-01").replace(tzinfo=UTC)
        if self._which.newest_first:
            return Place(as_utc(start), None)
        following = (start + timedelta(days=31)).replace(day=1)
        return Place(as_utc(following - _INSTANT), None)

    async def _of_moment(self, month: str, after: Place, *, limit: int) -> list[Document]:
        """At most ``limit`` events of one time, the first by id of those behind the place's."""
        conditions = [
            *self._matching(),
            Condition("c.createdAt = @moment", "@moment", after.created_at),
            Condition("c.id > @after", "@after", after.event_id),
        ]
        return await self._of_partition(month, conditions, order="id", limit=limit)

    async def _of_partition(
        self, month: str, conditions: list[Condition], *, order: str, limit: int, fields: str = "*"
    ) -> list[Document]:
        if self._buckets == 1:
            key = f"{self._tenant_id}:{month}"
        else:
            key, conditions = None, [*self._of_tenant(f"{month}:"), *conditions]
        where, parameters = all_of(conditions)
        text = f"SELECT TOP {limit} {fields} FROM c{where} ORDER BY c.{order}"  # noqa: S608 - names only
        return await self._query(text, parameters, partition_key=key, page_items=limit)

    def _of_tenant(self, month: str) -> list[Condition]:
        # A tenant id has no colon, so that no other tenant's key begins so.
        return [
            Condition("c.tenantId = @tenant", "@tenant", self._tenant_id),
            Condition("STARTSWITH(c.partitionKey, @keys)", "@keys", f"{self._tenant_id}:{month}"),
        ]

    def _matching(self) -> list[Condition]:
        which = self._which
        return [
            Condition("c.id = @id", "@id", which.event_id),
            Condition("c.userId = @user", "@user", which.user_id),
            Condition("c.eventType = @type", "@type", which.event_type),
            Condition("c.deviceId = @device", "@device", which.device_id),
            Condition("c.suspicious = @suspicious", "@suspicious", which.suspicious),
            Condition("c.createdAt >= @since", "@since", which.since and as_utc(which.since)),
            Condition("c.createdAt < @until", "@until", which.until and as_utc(which.until)),
        ]

    def _behind(self, after: Place | None) -> list[Condition]:
        return [] if after is None else [Condition(f"c.createdAt {self._beyond} @behind", "@behind", after.created_at)]


def _id_of(document: Document) -> str:
    return str(document["id"])


def _time_of(document: Document) -> str:
    return str(document["createdAt"])
