"""COUNT, SUM, AVG, MIN and MAX.

Undefined values are left out; a value that cannot be summed makes SUM and AVG undefined; MIN and MAX compare by type
first ("Aggregate functions in Azure Cosmos DB").
"""

from typing import Final

from cloudscale.emulators.cosmos.errors import bad_request
from cloudscale.emulators.cosmos.query.fragments import (
    NOT_CONSTANT,
    Fragment,
    Kind,
    any_json,
    as_boolean,
    as_json,
    as_number,
    as_text,
    boolean,
    number,
    text,
)

NAMES: Final = frozenset({"COUNT", "SUM", "AVG", "MIN", "MAX"})


def compile_aggregate(name: str, arguments: list[Fragment], position: int) -> Fragment:
    """The SQL aggregate; raises CosmosError 400 unless it has one argument."""
    if len(arguments) != 1:
        raise bad_request(f"{name} at position {position} takes one argument, not {len(arguments)}.")
    argument = arguments[0]
    if name == "COUNT":
        # SQLite answers count(*) from an index without looking at documents.
        counted = "*" if argument.constant is not NOT_CONSTANT else _definedness(argument)
        return number(f"count({counted})")
    if name in ("SUM", "AVG"):
        value = as_number(argument)
        total = f"coalesce(sum({value}), 0)" if name == "SUM" else f"avg({value})"
        return number(f"(CASE WHEN count({_definedness(argument)}) = count({value}) THEN {total} END)")
    return _extreme(name.lower(), argument)


def _definedness(fragment: Fragment) -> str:
    return fragment.type if fragment.kind is Kind.ANY else fragment.scalar


def _extreme(function: str, argument: Fragment) -> Fragment:
    if argument.kind is Kind.NUMBER:
        return number(f"{function}({argument.scalar})")
    if argument.kind is Kind.TEXT:
        return text(f"{function}({argument.scalar})")
    if argument.kind is Kind.BOOLEAN:
        return boolean(f"{function}({argument.scalar})")
    branches = [f"WHEN max({argument.type} = 'null') THEN 'null'"]
    for kind, value in (
        (Kind.BOOLEAN, as_boolean(argument)),
        (Kind.NUMBER, as_number(argument)),
        (Kind.TEXT, as_text(argument)),
    ):
        json = as_json(Fragment(kind, f"{function}({value})"))
        branches.append(f"WHEN count({value}) > 0 THEN {json}")
    if function == "max":
        branches.reverse()
    return any_json(f"(CASE {' '.join(branches)} END)")
