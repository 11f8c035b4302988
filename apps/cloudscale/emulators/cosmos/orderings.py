"""Orders of documents as queries use them, see ``ordered_members``."""

import sqlite3
from collections.abc import MutableMapping
from functools import partial
from operator import itemgetter
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
from cloudscale.emulators.cosmos.query.values import NUMBER, TEXT, SortKey, rank, sort_key
from cloudscale.emulators.cosmos.stored_rows import MemberBounds, Ordering

BUSY_WRITES: Final = 5_000
"""With so many documents written between two times, orders wait: looking at what is new costs a query less than it
costs writers."""
log = structlog.get_logger()


async def ask_for_orders(emulator: Emulator, documents: Documents, query: Query, narrowing: Narrowing) -> None:
    """Have the documents kept from now on in the query's order and by the members that it bounds, if they are enough.

    Members that are to be equal to something are often the same in many documents: they are left to the query.
    """
    ordered = ordering_member(query)
    bounded = [bounds.member for bounds in bounds_of(documents, narrowing, Bindings()) if bounds.is_range]
    for member in dict.fromkeys([*bounded, *([] if ordered is None else [ordered])]):
        if documents.orders.may_add(member, documents.count):
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


def bounds_of(documents: Documents, narrowing: Narrowing, bindings: Bindings) -> list[MemberBounds]:
    """What the query's condition says of members at the top of the document: of each, what bounds it most closely."""
    compared: dict[str, list[tuple[str, SortKey]]] = {}
    for _, (operator, path, value) in narrowing.comparisons:
        member = path[0]
        if len(path) == 1 and isinstance(member, str) and member not in documents.container.computed:
            key = sort_key(value)
            # Values of different types are not compared, and no result has two types.
            known = compared.setdefault(member, [])
            if (
                rank(value) in (NUMBER, TEXT)
                and stored_value(key) is not None
                and all(k[0] == key[0] for _, k in known)
            ):
                known.append((operator, key))
    return [_closest(member, known, bindings) for member, known in compared.items() if known]


def _closest(member: str, compared: list[tuple[str, SortKey]], bindings: Bindings) -> MemberBounds:
    """SQLite would search by the first bound of several, not by the closest."""
    equal = [each for each in compared if each[0] == "="][:1]
    upper = [each for each in compared if each[0] in {"<", "<="}]
    lower = [each for each in compared if each[0] in {">", ">="}]
    closest = equal or [
        *([min(upper, key=itemgetter(1))] if upper else []),
        *([max(lower, key=itemgetter(1))] if lower else []),
    ]
    conditions = [f"e.value {operator} {bindings.bind(stored_value(key))}" for operator, key in closest]
    kind = f"e.kind = {bindings.bind(compared[0][1][0])}"
    return MemberBounds(member, [kind, *conditions], is_range=not equal)


def ordering_of(
    query: Query,
    documents: Documents,
    extent: Extent,
    narrowing: Narrowing,
    bindings: Bindings,
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

    bounded = bounds_of(documents, narrowing, bindings)
    own = [condition for bounds in bounded if bounds.member == member for condition in bounds.conditions]
    return Ordering(
        member=member,
        descends=query.order_by[0].descending,
        conditions=[*partitions("+e.partition"), *own],
        partitions=partitions("d.partition"),
    )
