"""Query plans: what an SDK is told to do with a query over several partitions.

The service's plans split a query into parts for every range and leave it to the client to merge them. Here all ranges
are in one process, so the plan tells the client to send the query, marked, to the first range only, and that its
results need nothing more.

Python's SDK is told what the service tells it, and merges the one answer that it gets: it makes ``None`` of an
aggregate that is undefined everywhere, takes 1 and true for the same in DISTINCT, and skips by itself. What a program
sees of that on Azure it has to see here too.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from cloudscale.emulators.cosmos.query.ast import Call, Query
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
_AGGREGATED: Final = ALL_RANGES + "/* to be aggregated */ "
MERGED: Final = ALL_RANGES + "/* to be merged */ "
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
    first = {"min": "", "max": "00", "isMinInclusive": True, "isMaxInclusive": False}
    return {"partitionedQueryExecutionInfoVersion": 2, "queryInfo": info, "queryRanges": [first]}


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
        info["distinctType"] = "Ordered" if query.order_by else "Unordered"
    order = ["Descending" if each.descending else "Ascending" for each in query.order_by]
    return info | {"orderBy": order, "rewrittenQuery": MERGED + text}


def answer_to_plan(query: Query, text: str, page: Page) -> Page:
    """A page as the client of its plan expects it: an aggregate comes as the item of a list, to be merged."""
    if not text.startswith(_AGGREGATED):
        return page
    value = page.results[0] if page.results else None
    if value is None:
        item = b"{}"
    elif _aggregator(query) == "Average":
        item = b'{"item":{"sum":%b,"count":1}}' % value
    else:
        item = b'{"item":%b}' % value
    return replace(page, results=[b"[%b]" % item], size=len(item) + 2)


def _aggregator(query: Query) -> str | None:
    """What merges the answers to a query for nothing but an aggregate."""
    if isinstance(query.value, Call) and merging_features(query) <= {AGGREGATE, ORDER_BY, TOP}:
        return _AGGREGATORS.get(query.value.name)
    return None
