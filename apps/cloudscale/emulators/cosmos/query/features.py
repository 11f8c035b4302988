"""What a query asks of the client that merges the answers of several partitions, by the names that SDKs announce.

The gateway of the service filters and projects over partitions, and leaves the rest to SDKs: "Querying resources using
the REST API". An SDK says in its request for a query plan what it can merge.
"""

from dataclasses import fields, is_dataclass
from typing import Final

from cloudscale.emulators.cosmos.query.aggregates import NAMES
from cloudscale.emulators.cosmos.query.ast import Call, Query, Subquery

AGGREGATE: Final = "Aggregate"
NON_VALUE_AGGREGATE: Final = "NonValueAggregate"
MULTIPLE_AGGREGATES: Final = "MultipleAggregates"
GROUP_BY: Final = "GroupBy"
DISTINCT: Final = "Distinct"
TOP: Final = "Top"
OFFSET_AND_LIMIT: Final = "OffsetAndLimit"
ORDER_BY: Final = "OrderBy"
MULTIPLE_ORDER_BY: Final = "MultipleOrderBy"


def merging_features(query: Query) -> frozenset[str]:
    """What a client needs to merge the answers to the query; nothing where they only follow one another."""
    aggregates = _count_aggregates((query.value, query.items, query.order_by))
    needed = {
        AGGREGATE: aggregates > 0,
        NON_VALUE_AGGREGATE: aggregates > 0 and query.value is None,
        MULTIPLE_AGGREGATES: aggregates > 1,
        GROUP_BY: bool(query.group_by),
        DISTINCT: query.distinct,
        TOP: query.top is not None,
        OFFSET_AND_LIMIT: query.offset is not None,
        ORDER_BY: bool(query.order_by),
        MULTIPLE_ORDER_BY: len(query.order_by) > 1,
    }
    return frozenset(name for name, is_needed in needed.items() if is_needed)


def _count_aggregates(part: object) -> int:
    """How many aggregates there are in a part of the tree; those of a subquery are over one document's values."""
    if isinstance(part, tuple):
        return sum(map(_count_aggregates, part))
    if isinstance(part, Subquery) or not is_dataclass(part):
        return 0
    own = isinstance(part, Call) and part.name in NAMES
    return own + sum(_count_aggregates(getattr(part, each.name)) for each in fields(part))
