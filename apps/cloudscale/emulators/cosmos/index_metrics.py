"""Which indexes a query uses, and which it could use, for clients that ask for it.

"Indexing metrics in Azure Cosmos DB": they follow from the shape of the query and the container's indexing policy.
Each filter on a path uses the path's index, or would if the policy had one. Filters that are joined by AND use a
composite index that has all its paths among them, of which only the last may be compared otherwise than for equality.
"""

import base64
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from cloudscale.emulators.cosmos.indexing import IndexingPolicy
from cloudscale.emulators.cosmos.query.ast import (
    Binary,
    Call,
    Expression,
    Like,
    Literal,
    Logical,
    Membership,
    Name,
    Negation,
    Parameter,
    Property,
    Query,
)
from cloudscale.emulators.cosmos.query.narrowing import operands

INDEX_METRICS: Final = "x-ms-cosmos-index-utilization"
Path = tuple[str, ...]
_RANGES: Final = ("<", "<=", ">", ">=")
_FLIPPED: Final = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}
# "Overview of indexing": these read all values of an index and not only those that match.
_SCANNING: Final = {"CONTAINS", "ENDSWITH", "REGEXMATCH"}
_LOOKING_UP: Final = {
    "ARRAY_CONTAINS",
    "IS_ARRAY",
    "IS_BOOL",
    "IS_DEFINED",
    "IS_NULL",
    "IS_NUMBER",
    "IS_OBJECT",
    "IS_PRIMITIVE",
    "IS_STRING",
    "STARTSWITH",
    "STRINGEQUALS",
}


@dataclass(frozen=True, slots=True)
class _Filter:
    """A condition on one path; ``text`` is how it is written, empty for an order or a partition key."""

    path: Path
    text: str
    operator: str = ""
    scans: bool = False

    @property
    def single(self) -> dict[str, object]:
        """What is told of the path's index."""
        return {
            "FilterExpression": self.text,
            "IndexSpec": f"{_written(self.path)}/?",
            "FilterPreciseSet": not self.scans,
            "IndexPreciseSet": not self.scans,
            "IndexImpactScore": "Low" if self.scans else "High",
        }


def describe_indexes(
    query: Query, parameters: Mapping[str, Any], policy: IndexingPolicy, *, partition_key: Sequence[Path]
) -> str:
    """The header's value; ``partition_key`` are the paths of a key that the request names beside the query."""
    reader = _Reader(query, parameters)
    filters = list(reader.filters(query.where))
    ordered = [path for each in query.order_by if (path := reader.path(each.expression))]
    if len(ordered) == 1:
        partition_key = [*partition_key, *ordered]
    filters += [_Filter(path, "") for path in partition_key if all(path != each.path for each in filters)]
    used, possible = _composites(query, reader, policy, ordered)
    metrics = {
        "UtilizedSingleIndexes": [each.single for each in filters if policy.covers(each.path)],
        "PotentialSingleIndexes": [each.single for each in filters if not policy.covers(each.path)],
        "UtilizedCompositeIndexes": [_composite(each, is_precise=True) for each in used],
        "PotentialCompositeIndexes": [_composite(each, is_precise=False) for each in possible],
    }
    return base64.b64encode(msgspec.json.encode(metrics)).decode()


_Composite = tuple[tuple[Path, bool], ...]
"""Paths, each with whether it descends."""


def _composites(
    query: Query, reader: "_Reader", policy: IndexingPolicy, ordered: Sequence[Path]
) -> tuple[list[_Composite], list[_Composite]]:
    """The composite indexes that a query uses, and those that it could use."""
    joined = [found for each in operands("AND", query.where) if (found := reader.comparison(each))]
    equal = list(dict.fromkeys(each.path for each in joined if each.operator == "="))
    compared = dict.fromkeys(each.path for each in joined if each.operator in _RANGES)
    bounded = [path for path in compared if path not in equal]
    used = [
        index
        for index in policy.composites
        if (_takes_part(index, equal, bounded) or _sorts(index, query, ordered)) and policy.is_on
    ]
    covered = [{path for path, _ in index} for index in used]
    wanted = [[*equal, path] for path in bounded] if bounded else [equal]
    possible = [
        tuple((path, False) for path in paths) for paths in wanted if len(paths) > 1 and set(paths) not in covered
    ]
    return used, possible


def _takes_part(index: _Composite, equal: Sequence[Path], bounded: Sequence[Path]) -> bool:
    *first, last = [path for path, _ in index]
    return all(path in equal for path in first) and (last in equal or last in bounded)


def _sorts(index: _Composite, query: Query, ordered: Sequence[Path]) -> bool:
    wanted = tuple(zip(ordered, (each.descending for each in query.order_by), strict=False))
    return len(wanted) > 1 and index in (wanted, tuple((path, not descending) for path, descending in wanted))


def _composite(index: _Composite, *, is_precise: bool) -> dict[str, object]:
    specs = [f"{_written(path)} {'DESC' if descending else 'ASC'}" for path, descending in index]
    return {"IndexSpecs": specs, "IndexPreciseSet": is_precise, "IndexImpactScore": "High"}


class _Reader:
    """Finds the filters of one query."""

    def __init__(self, query: Query, parameters: Mapping[str, Any]) -> None:
        self._parameters = parameters
        self._roots: dict[str, Path] = {query.container: ()} if query.container else {}
        for join in query.joins:
            # The elements of an array of the document have paths of the document.
            path = self.path(join.source) if join.alias else None
            if path is not None:
                self._roots[join.alias] = (*path, "[]") if join.each else path

    def path(self, expression: Expression) -> Path | None:
        """Where an expression points to in the document; None for anything else."""
        keys: list[str] = []
        while isinstance(expression, Property):
            if isinstance(expression.key, Parameter):
                return None
            keys.append("[]" if isinstance(expression.key, int) else expression.key)
            expression = expression.target
        if isinstance(expression, Name) and expression.name in self._roots:
            return (*self._roots[expression.name], *reversed(keys))
        return None

    def filters(self, expression: Expression | None) -> Iterator[_Filter]:
        """All filters in a condition, whatever joins them."""
        match expression:
            case Logical(operands=joined):
                for each in joined:
                    yield from self.filters(each)
            case Negation(operand=operand):
                yield from self.filters(operand)
            case Membership(operand=operand, choices=choices) if path := self.path(operand):
                yield _Filter(path, f"({_text(path)} IN ({', '.join(map(self._constant, choices))}))", "IN")
            case Like(operand=operand, pattern=pattern) if path := self.path(operand):
                yield _Filter(path, f"({_text(path)} LIKE {self._constant(pattern)})", "LIKE", scans=True)
            case Call(name=name, arguments=[first, *rest]) if (path := self.path(first)) and _uses_index(name):
                text = ", ".join([_text(path), *map(self._constant, rest)])
                yield _Filter(path, f"{name}({text})", name, scans=name in _SCANNING)
            case Binary() if found := self.comparison(expression):
                yield found

    def comparison(self, expression: Expression) -> _Filter | None:
        """A path that is compared with something that is not in the document, either way round."""
        if not isinstance(expression, Binary) or expression.operator not in ("=", "!=", *_RANGES):
            return None
        flipped = _FLIPPED.get(expression.operator, expression.operator)
        for side, other, operator in (
            (expression.left, expression.right, expression.operator),
            (expression.right, expression.left, flipped),
        ):
            if (path := self.path(side)) and isinstance(other, Literal | Parameter):
                return _Filter(path, f"({_text(path)} {operator} {self._constant(other)})", operator)
        return None

    def _constant(self, expression: Expression) -> str:
        if isinstance(expression, Parameter):
            return msgspec.json.encode(self._parameters.get(expression.name)).decode()
        if isinstance(expression, Literal) and isinstance(expression.value, str | int | float | None):
            return msgspec.json.encode(expression.value).decode()
        return "undefined" if isinstance(expression, Literal) else "..."


def _uses_index(name: str) -> bool:
    return name in _LOOKING_UP or name in _SCANNING


def _text(path: Path) -> str:
    names = (f".{name}" if name.isidentifier() else f"[{msgspec.json.encode(name).decode()}]" for name in path)
    return "ROOT" + "".join(names)


def _written(path: Path) -> str:
    names = (name if name == "[]" or name.isidentifier() else msgspec.json.encode(name).decode() for name in path)
    return "".join(f"/{name}" for name in names)
