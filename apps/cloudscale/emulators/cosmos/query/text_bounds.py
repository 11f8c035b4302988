"""Bounds for a document's members, such as ``c.at >= '2026'``, which SQLite asks about before it hands a document out.

A document that SQLite leaves out costs a third of one that the query looks at itself.
"""

import operator
import sqlite3
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypedDict

import msgspec

from cloudscale.emulators.cosmos.property_path import SYSTEM_PROPERTIES
from cloudscale.emulators.cosmos.query.ast import Expression
from cloudscale.emulators.cosmos.query.narrowing import Comparison, operands
from cloudscale.emulators.cosmos.query.values import decode_document

_FUNCTION: Final = "is_within_bounds"
_TESTS: Final[Mapping[str, Callable[[str, str], bool]]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


@dataclass(frozen=True, slots=True)
class TextBounds:
    """``expressions`` are the conditions of which ``holds`` says whether a document's text meets them all."""

    expressions: list[Expression]
    holds: Callable[[str], bool]

    @property
    def conditions(self) -> list[str]:
        """SQL conditions on ``d``, for connections that ``register`` was called for."""
        return [f"{_FUNCTION}(d.body)"] if self.expressions else []

    def register(self, connection: sqlite3.Connection) -> None:
        """Let SQL ask about the bounds, in place of those of an earlier query."""
        if self.expressions:
            connection.create_function(_FUNCTION, 1, self.holds)

    def without(self, where: Expression | None) -> list[Expression]:
        """What is left of a condition when the bounds are taken care of."""
        return [each for each in operands("AND", where) if each not in self.expressions]


def text_bounds(comparisons: Sequence[tuple[Expression, Comparison]], computed: Collection[str]) -> TextBounds:
    """The bounds among a query's comparisons.

    Only texts are compared here, with members at the top of the document. What is named in ``computed`` is no member.
    """
    expressions: list[Expression] = []
    tests: list[tuple[str, Callable[[str, str], bool], str]] = []
    for expression, (comparison, path, value) in comparisons:
        name = path[0]
        if len(path) > 1 or not isinstance(name, str) or not isinstance(value, str) or comparison not in _TESTS:
            continue
        # The decoder finds names in ASCII only.
        if name.isascii() and name not in SYSTEM_PROPERTIES and name not in computed:
            expressions.append(expression)
            tests.append((name, _TESTS[comparison], value))
    members = dict.fromkeys((name for name, _, _ in tests), Any)
    decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(TypedDict("Members", members, total=False))  # type: ignore[operator]
    decode = decoder.decode

    def holds(text: str) -> bool:
        try:
            document = decode(text)
        except (msgspec.DecodeError, ValueError):
            document = decode_document(decoder, text)
        for name, test, bound in tests:
            value = document.get(name)
            # A comparison of different types is not true.
            if type(value) is not str or not test(value, bound):
                return False
        return True

    return TextBounds(expressions, holds)
