"""Query plans: what an SDK is told to do with a query over several partitions.

The service's plans split a query into parts for every range and leave it to the client to merge them. Python's SDK gets
such plans. It has ways of its own to merge: it makes ``None`` of an aggregate that is undefined everywhere, takes 1 and
true for the same in DISTINCT, and refuses to order values of several types. What a program sees of that on Azure it has
to see here too.

Any other SDK is told to send the query, marked, to the first range only, and that its results need nothing more: all
ranges are in one process.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from cloudscale.emulators.cosmos.query.ast import Call, Expression, Name, ObjectLiteral, Property, Query
from cloudscale.emulators.cosmos.query.execution import Page
from cloudscale.emulators.cosmos.query.features import (
    AGGREGATE,
    DISTINCT,
    MULTIPLE_ORDER_BY,
    OFFSET_AND_LIMIT,
    ORDER_BY,
    TOP,
    merging_features,
)
from cloudscale.emulators.cosmos.query.scope import Compilation
from cloudscale.emulators.cosmos.query.selection import compile_query

# Marks a query that a plan has rewritten: it is answered for all ranges, whichever range it is sent to.
ALL_RANGES: Final = "/* all ranges */ "
# Marks a query of a plan for a client that merges the answers of all ranges.
MERGED: Final = "/* to be merged */ "
_AGGREGATED: Final = MERGED + "/* to be aggregated */ "
_MERGED_FEATURES: Final = {DISTINCT, MULTIPLE_ORDER_BY, OFFSET_AND_LIMIT, ORDER_BY, TOP}
_PYTHON: Final = "azsdk-python-cosmos"
_AGGREGATORS: Final = {"AVG": "Average", "COUNT": "Count", "MAX": "Max", "MIN": "Min", "SUM": "Sum"}


def plan(query: Query, text: str, parameters: Mapping[str, Any], user_agent: str) -> dict[str, object]:
    """The plan of a query for the SDK that names itself in the user agent; raises CosmosError 400."""
    info: dict[str, object] = {
        "distinctType": "None",
        "top": None,
        "offset": None,
        "limit": None,
        "orderBy": [],
        "orderByExpressions": [],
        "groupByExpressions": [],
        "groupByAliases": [],
        "aggregates": [],
        "groupByAliasToAggregateType": {},
        "rewrittenQuery": ALL_RANGES + text,
        "hasSelectValue": False,
        "hasNonStreamingOrderBy": False,
        "dCountInfo": None,
    }
    if _PYTHON in user_agent:
        info |= _merging(query, text, parameters)
    end = "00" if str(info["rewrittenQuery"]).startswith(ALL_RANGES) else "FF"
    ranges = {"min": "", "max": end, "isMinInclusive": True, "isMaxInclusive": False}
    return {"partitionedQueryExecutionInfoVersion": 2, "queryInfo": info, "queryRanges": [ranges]}


def _merging(query: Query, text: str, parameters: Mapping[str, Any]) -> dict[str, object]:
    """What of a plan tells a client to merge."""
    features = merging_features(query)
    aggregator = _aggregator(query)
    if aggregator is None and not features <= _MERGED_FEATURES:
        return {}
    selection = compile_query(query, Compilation(parameters), where=None)
    info: dict[str, object] = {"hasSelectValue": query.value is not None}
    if query.top is not None:
        info["top"] = selection.limit
    if aggregator is not None:
        return info | {"aggregates": [aggregator], "rewrittenQuery": _AGGREGATED + text}
    if query.offset is not None:
        info |= {"offset": selection.offset, "limit": selection.limit}
    if query.distinct:
        info["distinctType"] = "Ordered" if _is_ordered(query) else "Unordered"
    order = ["Descending" if each.descending else "Ascending" for each in query.order_by]
    return info | {"orderBy": order, "rewrittenQuery": MERGED + text}


def rewritten(query: Query, text: str) -> Query:
    """What a range has to compute for the client of a plan: of a mean, what means of several ranges are made from."""
    if not text.startswith(_AGGREGATED) or not isinstance(query.value, Call) or query.value.name != "AVG":
        return query
    parts = tuple((name.lower(), replace(query.value, name=name)) for name in ("SUM", "COUNT"))
    return replace(query, value=ObjectLiteral(parts))


def answer_to_plan(text: str, page: Page) -> Page:
    """A page as the client of its plan expects it: an aggregate comes as the item of a list, to be merged."""
    if not text.startswith(_AGGREGATED):
        return page
    item = b'{"item":%b}' % page.results[0] if page.results else b"{}"
    return replace(page, results=[b"[%b]" % item], size=len(item) + 2)


def _is_ordered(query: Query) -> bool:
    """Whether the results are in the order of what they are, so that equal ones come together."""
    selected = (query.value,) if query.value is not None else tuple(item.expression for item in query.items)
    paths = [_path(expression) for expression in selected]
    return None not in paths and paths == [_path(each.expression) for each in query.order_by]


def _path(expression: Expression) -> tuple[object, ...] | None:
    keys: list[object] = []
    while isinstance(expression, Property):
        keys.append(expression.key)
        expression = expression.target
    return (expression.name, *keys) if isinstance(expression, Name) else None


def _aggregator(query: Query) -> str | None:
    """What merges the answers to a query for nothing but an aggregate."""
    if isinstance(query.value, Call) and merging_features(query) <= {AGGREGATE, ORDER_BY, TOP}:
        return _AGGREGATORS.get(query.value.name)
    return None
