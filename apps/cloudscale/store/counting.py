"""How many events of each tenant and hour are stored, for many tenants and hours with one query."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import msgspec

from cloudscale.store.conditions import one_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from cloudscale.store.events import EventStore

TENANTS_PER_QUERY = 200

Hour = tuple[str, str]
"""A tenant id and an hour of ``receivedAt`` as ``yyyy-MM-ddTHH``."""


class StoredEvents(msgspec.Struct, frozen=True):
    """Events of one tenant and hour: those with ``acceptedUnnamed``, which came while Redis was away, and the rest."""

    named: int = 0
    unnamed: int = 0

    @property
    def both(self) -> int:
        """All of them."""
        return self.named + self.unnamed


async def count_by_tenant_and_hour(
    store: EventStore, hours: Iterable[Hour], *, together: str | None = None
) -> dict[Hour, StoredEvents]:
    """Count what is stored for each of ``hours``.

    A page of tenants is one query to each physical partition, over the span from the first to the last hour. The tenant
    id ``together`` stands for all tenants that ``hours`` does not name in the hour; they are one query more.

    Raises:
        BackendError: the store cannot be read.
    """
    pairs = set(hours)
    tenants = sorted({tenant_id for tenant_id, _ in pairs} - {together})
    counts: Counter[tuple[str, str, bool]] = Counter()
    for start in range(0, len(tenants), TENANTS_PER_QUERY):
        page = tenants[start : start + TENANTS_PER_QUERY]
        wanted = set(page)
        await _count(store, [hour for tenant_id, hour in pairs if tenant_id in wanted], tenants=page, into=counts)
    if shared := sorted(hour for tenant_id, hour in pairs if tenant_id == together):
        # Counted after the others, so that what is stored meanwhile does not make these fewer than they are.
        everything: Counter[tuple[str, str, bool]] = Counter()
        await _count(store, shared, tenants=None, into=everything)
        for (tenant_id, hour, is_unnamed), events in counts.items():
            if (tenant_id, hour) in pairs:
                everything["", hour, is_unnamed] -= events
        for hour in shared:
            for is_unnamed in (False, True):
                counts[together or "", hour, is_unnamed] = everything["", hour, is_unnamed]
    return {pair: StoredEvents(counts[*pair, False], counts[*pair, True]) for pair in pairs}


async def _count(
    store: EventStore, hours: Sequence[str], *, tenants: Sequence[str] | None, into: Counter[tuple[str, str, bool]]
) -> None:
    """Add the counts of ``tenants``, or of all together under an empty id, from the first to the last of ``hours``."""
    condition, parameters = ("", {}) if tenants is None else one_of("c.tenantId", tenants)
    tenant = "" if tenants is None else "c.tenantId, "
    restriction = f" AND {condition}" if condition else ""
    if tenants is not None and len(tenants) == 1:
        # Keys begin with their tenant: where many tenants share a container, the others' partitions are left alone.
        restriction += " AND STARTSWITH(c.partitionKey, @keys)"
        parameters["@keys"] = f"{tenants[0]}:"
    hour, mark = "LEFT(c.receivedAt, 13)", "IS_DEFINED(c.acceptedUnnamed)"
    rows = await store.query_ranges(
        f"SELECT {tenant}{hour} AS hour, {mark} AS isUnnamed, COUNT(1) AS events FROM c "  # noqa: S608 - names only
        f"WHERE c.receivedAt >= @since AND c.receivedAt < @until{restriction} GROUP BY {tenant}{hour}, {mark}",
        {**parameters, "@since": f"{min(hours)}:00:00", "@until": f"{max(hours)}:59:60"},
    )
    for row in rows:
        into[row.get("tenantId", ""), row["hour"], row["isUnnamed"]] += row["events"]
