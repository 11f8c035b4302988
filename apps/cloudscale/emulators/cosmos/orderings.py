"""Orders of documents as queries use them, see ``ordered_members``."""

import sqlite3
from collections.abc import MutableMapping
from functools import partial
from typing import Final

import structlog

from cloudscale.emulators.cosmos.bindings import Bindings
from cloudscale.emulators.cosmos.documents import Documents
from cloudscale.emulators.cosmos.emulator import Emulator
from cloudscale.emulators.cosmos.errors import CosmosError
from cloudscale.emulators.cosmos.extents import Extent, partitions_with_prefix
from cloudscale.emulators.cosmos.ordered_members import stored_value
from cloudscale.emulators.cosmos.query.ast import Query
from cloudscale.emulators.cosmos.query.narrowing import Narrowing
from cloudscale.emulators.cosmos.query.selection import ordering_member
from cloudscale.emulators.cosmos.query.values import NUMBER, TEXT, rank, sort_key
from cloudscale.emulators.cosmos.stored_rows import Ordering

BUSY_WRITES: Final = 5_000
"""With so many documents written between two times, orders wait: looking at what is new costs a query less than it
costs writers."""
LARGEST_SEARCH: Final = 20
"""How many documents of an order may be passed over for each one of the query's partitions, on average."""

log = structlog.get_logger()


async def ask_for_order(emulator: Emulator, documents: Documents, query: Query) -> None:
    """Have the documents kept in the query's order from now on, if they are enough."""
    member = ordering_member(query)
    if member is not None and documents.orders.may_add(member, documents.count):
        await emulator.storage.write(partial(documents.keep_in_order, member))


async def keep_in_order(emulator: Emulator, seen: MutableMapping[int, int]) -> None:
    """Bring the orders of containers up to date in which little was written since the last time.

    ``seen`` holds the last sequence number by the container's number, from one time to the next.
    """
    for documents in emulator.catalogue.all_containers():
        number, last = documents.container.number, documents.lsn
        try:
            if not documents.orders.has_more(BUSY_WRITES, after=seen.get(number, last), last=last):
                for member in documents.orders.members:
                    await _catch_up(emulator, documents, member)
        except (CosmosError, sqlite3.Error) as error:
            log.warning("cannot keep documents in order", container=documents.container.id, error=str(error))
        seen[number] = last


async def _catch_up(emulator: Emulator, documents: Documents, member: str) -> None:
    # What is written meanwhile is left to the next time: others may write faster than this goes on.
    last = documents.lsn
    while documents.orders.is_behind(member, last):
        await emulator.storage.write(partial(documents.keep_in_order, member))


def ordering_of(
    query: Query, documents: Documents, extent: Extent, narrowing: Narrowing, bindings: Bindings
) -> Ordering | None:
    """The order of a query's results, if documents can be kept in it, and which part of it they are in."""
    container, member = documents.container, ordering_member(query)
    if member is None or member in container.computed:
        return None

    def partitions(column: str) -> list[str]:
        found = extent.conditions(container.number, bindings, column=column)
        if extent.partition is None and narrowing.partition_prefix is not None:
            prefix = narrowing.partition_prefix
            found.append(partitions_with_prefix(container.number, bindings, prefix, column=column))
        return found

    conditions = partitions("+e.partition")
    for _, (operator, path, value) in narrowing.comparisons:
        stored = stored_value(sort_key(value))
        if path == (member,) and rank(value) in (NUMBER, TEXT) and stored is not None:
            # Values of different types are not compared.
            kind = bindings.bind(rank(value))
            conditions.append(f"e.kind = {kind} AND e.value {operator} {bindings.bind(stored)}")
    return Ordering(
        member=member,
        descends=query.order_by[0].descending,
        conditions=conditions,
        partitions=partitions("d.partition"),
        fewest=documents.count // LARGEST_SEARCH + 1,
    )
