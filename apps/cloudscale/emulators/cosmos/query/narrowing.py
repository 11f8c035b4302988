"""What a WHERE clause says about the documents to look at, so that an index finds them.

Only conditions that hold for every result count: those joined by AND at the top, and, for ids, every branch of an OR,
which is how clients read many items at once.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from cloudscale.emulators.cosmos.partition_key import Component, PartitionKeyDefinition
from cloudscale.emulators.cosmos.query.ast import (
    Binary,
    Call,
    Expression,
    Literal,
    Logical,
    Membership,
    Name,
    Parameter,
    Property,
)

MAXIMUM_POINTS: Final = 2_000
Constant = Callable[[Expression], object]
Point = tuple[tuple[Component, ...] | None, str]
Comparison = tuple[str, tuple[str | int, ...], Component]
"""Operator, path and constant."""
_FLIPPED: Final = {"=": "=", "<": ">", "<=": ">=", ">": "<", ">=": "<="}


@dataclass(frozen=True, slots=True)
class Narrowing:
    """``points`` are the only (partition key or None, id) that can match; None when any id can.

    ``partition_key`` is the only one that can match; with ``partition_prefix`` only those can that begin so.
    ``timestamps`` are comparisons of ``_ts`` with a number.
    ``rest`` is what is left of the condition when the partition key, or else the prefix, is taken care of;
    ``comparisons`` are those of its parts that compare a path with a constant.
    ``points_are_all`` says that nothing is left when the points are.
    """

    partition_key: tuple[Component, ...] | None
    partition_prefix: str | None
    points: list[Point] | None
    points_are_all: bool
    timestamps: list[tuple[str, float]]
    comparisons: list[tuple[Expression, Comparison]]
    rest: list[Expression]


class _NotConstant:
    """The value of what is no constant."""


def constants(parameters: Mapping[str, object]) -> Constant:
    """The values of literals and parameters, for ``narrow``."""

    def constant(expression: Expression) -> object:
        if isinstance(expression, Literal):
            return expression.value
        if isinstance(expression, Parameter):
            return parameters.get(expression.name, _NotConstant)
        return _NotConstant

    return constant


def narrow(where: Expression | None, alias: str, definition: PartitionKeyDefinition, constant: Constant) -> Narrowing:
    """Look at a condition; ``constant`` gives the value of literals and parameters."""
    conjuncts = operands("AND", where)
    reader = _Reader(alias, definition, constant)
    key, used = reader.partition_key(conjuncts)
    timestamps = [
        (operator, value)
        for operator, path, value in map(reader.comparison, conjuncts)
        if path == ("_ts",) and isinstance(value, int | float) and not isinstance(value, bool)
    ]
    points, points_are_all = (None, False) if where is None else reader.points(where)
    if points is not None and len(points) > MAXIMUM_POINTS:
        points = None
    prefix = None
    if key is None:
        for conjunct in conjuncts:
            prefix = reader.partition_prefix(conjunct)
            if prefix is not None:
                used = [conjunct]
                break
    rest = [conjunct for conjunct in conjuncts if not any(conjunct is each for each in used)]
    comparisons = [(conjunct, found) for conjunct in rest if (found := reader.comparison(conjunct))[1]]
    return Narrowing(key, prefix, points, points_are_all, timestamps, comparisons, rest)


def operands(operator: str, expression: Expression | None) -> list[Expression]:
    """What an expression joins by AND or OR, all of it at one level; itself when it joins nothing so."""
    if expression is None:
        return []
    if isinstance(expression, Logical) and expression.operator == operator:
        return [inner for operand in expression.operands for inner in operands(operator, operand)]
    return [expression]


class _Reader:
    def __init__(self, alias: str, definition: PartitionKeyDefinition, constant: Constant) -> None:
        self._alias = alias
        self._definition = definition
        self._constant = constant

    def comparison(self, expression: Expression) -> Comparison:
        """Operator, path and constant of ``path operator constant``, either way round; else empty ones."""
        if isinstance(expression, Binary) and expression.operator in _FLIPPED:
            for operator, path_side, constant_side in (
                (expression.operator, expression.left, expression.right),
                (_FLIPPED[expression.operator], expression.right, expression.left),
            ):
                path = self._path(path_side)
                value = self._constant(constant_side)
                if path and (value is None or isinstance(value, str | int | float)):
                    return operator, path, value
        return "", (), None

    def partition_key(self, conjuncts: Sequence[Expression]) -> tuple[tuple[Component, ...] | None, list[Expression]]:
        found: dict[tuple[str | int, ...], Component] = {}
        used: list[Expression] = []
        for expression in conjuncts:
            operator, path, value = self.comparison(expression)
            if operator == "=" and path in self._definition.paths and path not in found:
                found[path] = value
                used.append(expression)
        if len(found) < len(self._definition.paths):
            return None, []
        return tuple(found[path] for path in self._definition.paths), used

    def partition_prefix(self, expression: Expression) -> str | None:
        """What a whole partition key begins with, for ``STARTSWITH(path, constant)``."""
        if not isinstance(expression, Call) or expression.name != "STARTSWITH" or len(expression.arguments) > 2:
            return None
        path, prefix = self._path(expression.arguments[0]), self._constant(expression.arguments[1])
        is_whole_key = len(self._definition.paths) == 1 and path == self._definition.paths[0]
        return prefix if is_whole_key and isinstance(prefix, str) else None

    def points(self, expression: Expression) -> tuple[list[Point] | None, bool]:
        """The points of a condition, if it has some, and whether it says nothing else."""
        alternatives = operands("OR", expression)
        if len(alternatives) > 1:
            result: list[Point] = []
            are_all = True
            for alternative in alternatives:
                points, exact = self.points(alternative)
                if points is None:
                    return None, False
                result += points
                are_all &= exact
            return result, are_all
        conjuncts = operands("AND", expression)
        key, used = self.partition_key(conjuncts)
        for conjunct in conjuncts:
            ids = self._ids(conjunct)
            if ids is not None:
                return [(key, name) for name in ids], len(conjuncts) == len(used) + 1
            if isinstance(conjunct, Logical) and len(conjuncts) > 1:
                points, _ = self.points(conjunct)
                if points is not None:
                    return [(own or key, name) for own, name in points], False
        return None, False

    def _ids(self, expression: Expression) -> list[str] | None:
        if isinstance(expression, Membership):
            if self._path(expression.operand) != ("id",):
                return None
            values = [self._constant(choice) for choice in expression.choices]
            return [value for value in values if isinstance(value, str)] if _all_constant(values) else None
        operator, path, value = self.comparison(expression)
        if operator == "=" and path == ("id",):
            return [value] if isinstance(value, str) else []
        return None

    def _path(self, expression: Expression) -> tuple[str | int, ...]:
        keys: list[str | int] = []
        while isinstance(expression, Property):
            if isinstance(expression.key, Parameter):
                return ()
            keys.append(expression.key)
            expression = expression.target
        if isinstance(expression, Name) and self._alias and expression.name == self._alias:
            return tuple(reversed(keys))
        return ()


def _all_constant(values: Sequence[object]) -> bool:
    return all(value is None or isinstance(value, str | int | float | list | dict) for value in values)
