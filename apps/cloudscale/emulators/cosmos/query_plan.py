"""Query plans: what an SDK is told to do with a query over several partitions.

The service's plans split a query into parts for every range and leave it to the client to merge them. Here all ranges
are in one process, so the plan tells the client to send the query, marked, to the first range only, and that its
results need nothing more.

Python's SDK gets one thing to merge: an aggregate. What is undefined in every range is nothing in an answer of the
service, and ``None`` once this SDK has merged such answers, so it has to do it here too.
"""

from dataclasses import replace
from typing import Final

from cloudscale.emulators.cosmos.query.ast import Call, Query
from cloudscale.emulators.cosmos.query.execution import Page
from cloudscale.emulators.cosmos.query.features import AGGREGATE, ORDER_BY, merging_features

# Marks a query that a plan has rewritten: it is answered for all ranges, whichever range it is sent to.
ALL_RANGES: Final = "/* all ranges */ "
_AGGREGATED: Final = ALL_RANGES + "/* to be aggregated */ "
_PYTHON: Final = "azsdk-python-cosmos"
_AGGREGATORS: Final = {"AVG": "Average", "COUNT": "Count", "MAX": "Max", "MIN": "Min", "SUM": "Sum"}


def plan(query: Query, text: str, user_agent: str) -> dict[str, object]:
    """The plan of a query for the SDK that names itself in the user agent."""
    aggregator = _aggregator(query) if _PYTHON in user_agent else None
    first = {"min": "", "max": "00", "isMinInclusive": True, "isMaxInclusive": False}
    info: dict[str, object] = {
        "distinctType": "None",
        "top": None,
        "offset": None,
        "limit": None,
        "orderBy": [],
        "orderByExpressions": [],
        "groupByExpressions": [],
        "groupByAliases": [],
        "aggregates": [] if aggregator is None else [aggregator],
        "groupByAliasToAggregateType": {},
        "rewrittenQuery": (ALL_RANGES if aggregator is None else _AGGREGATED) + text,
        "hasSelectValue": aggregator is not None,
        "hasNonStreamingOrderBy": False,
        "dCountInfo": None,
    }
    return {"partitionedQueryExecutionInfoVersion": 2, "queryInfo": info, "queryRanges": [first]}


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
    if isinstance(query.value, Call) and merging_features(query) <= {AGGREGATE, ORDER_BY}:
        return _AGGREGATORS.get(query.value.name)
    return None
