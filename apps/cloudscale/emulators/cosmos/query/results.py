"""The results of a SELECT that need all rows: groups, aggregates, distinct values, and an order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cloudscale.emulators.cosmos.query.ast import UNDEFINED
from cloudscale.emulators.cosmos.query.values import ARRAY, NOTHING, NULL, SortKey, encode, identity, sort_key

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Iterator, Sequence

    from cloudscale.emulators.cosmos.query.aggregates import Accumulator
    from cloudscale.emulators.cosmos.query.scope import Values
    from cloudscale.emulators.cosmos.query.selection import Selection

SortKeys = tuple[SortKey, ...]


def compute(selection: Selection, rows: Iterable[Values], around: Values) -> list[Any]:
    """All results, in their order and within OFFSET, LIMIT and TOP; undefined ones are none.

    ``around`` are the values that the query finds there, for a result over no rows at all.
    """
    return [value for _, value in compute_ordered(selection, rows, around)]


def compute_ordered(selection: Selection, rows: Iterable[Values], around: Values) -> list[tuple[SortKeys, Any]]:
    """All results as ``compute`` gives them, each with what it is ordered by."""
    found = _grouped(selection, rows, around) if selection.group_by is not None else _single(selection, rows)
    results = list(_distinct(found) if selection.distinct else found)
    if selection.order_by:
        sort(results, [descending for _, descending in selection.order_by])
    end = None if selection.limit is None else selection.offset + selection.limit
    return results[selection.offset : end]


def sort(rows: list[Any], descending: Sequence[bool]) -> None:
    """Sort rows by the keys that are the first thing in each, the most significant one first; ties stay as they are."""
    for index in reversed(range(len(descending))):
        rows.sort(key=lambda row: row[0][index], reverse=descending[index])


def sort_keys(selection: Selection, values: Values) -> SortKeys:
    """What a row is ordered by."""
    return tuple([sort_key(evaluate(values)) for evaluate, _ in selection.order_by])


def with_order(keys: SortKeys, value: bytes) -> bytes:
    """A result, as JSON text, in the form in which the service sends it to a client that merges ordered answers."""
    items = b",".join([b"{}" if kind == NOTHING else b'{"item":%b}' % _order_item(kind, key) for kind, key in keys])
    return b'{"orderByItems":[%b],"payload":%b}' % (items, value)


def _order_item(kind: int, key: Any) -> bytes:
    if kind >= ARRAY:
        # The key is the value's JSON text.
        return key.encode()  # type: ignore[no-any-return]
    return b"null" if kind == NULL else encode(key)


def _single(selection: Selection, rows: Iterable[Values]) -> Iterator[tuple[SortKeys, Any]]:
    wanted = None
    if selection.limit is not None and not selection.order_by and not selection.distinct:
        wanted = selection.offset + selection.limit
    count = 0
    for values in rows:
        if count == wanted:
            return
        selection.step()
        value = selection.result(values)
        if value is not UNDEFINED:
            count += 1
            yield sort_keys(selection, values), value


def _grouped(selection: Selection, rows: Iterable[Values], around: Values) -> Iterator[tuple[SortKeys, Any]]:
    groups: dict[Hashable, tuple[Values, list[Accumulator]]] = {}
    columns = selection.group_by or []
    for values in rows:
        selection.step()
        key = tuple([identity(column(values)) for column in columns])
        group = groups.get(key)
        if group is None:
            group = groups[key] = list(values), [aggregate.start() for aggregate in selection.aggregates]
        for aggregate, accumulator in zip(selection.aggregates, group[1], strict=True):
            accumulator.add(aggregate.argument(values))
    if not groups and not columns:
        # Over no rows at all COUNT is 0, and what would be a row's own is undefined.
        nothing = list(around)
        for source in selection.sources:
            nothing[source.place] = UNDEFINED
        groups[()] = nothing, [aggregate.start() for aggregate in selection.aggregates]
    for values, accumulators in groups.values():
        for aggregate, accumulator in zip(selection.aggregates, accumulators, strict=True):
            values[aggregate.place] = accumulator.result()
        value = selection.result(values)
        if value is not UNDEFINED:
            yield sort_keys(selection, values), value


def _distinct(found: Iterable[tuple[SortKeys, Any]]) -> Iterator[tuple[SortKeys, Any]]:
    seen: set[Hashable] = set()
    for keys, value in found:
        key = identity(value)
        if key not in seen:
            seen.add(key)
            yield keys, value
