"""Pieces of SQLite SQL that stand for values of Cosmos SQL.

Cosmos SQL has seven types and *undefined*, SQLite has neither booleans nor a difference between null and undefined.
So a piece says what is known of its type:

- NUMBER, TEXT, BOOLEAN: an SQL scalar, where NULL means undefined;
- ANY: three expressions: the type as ``json_type`` names it (NULL when undefined), the scalar as ``json_extract``
  gives it, and the JSON text (NULL when undefined).

Three-valued logic then comes for free: SQL's NULL is Cosmos's undefined.
"""

from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

NUMERIC: Final = "('integer', 'real')"


class Kind(Enum):
    """The type of a piece, as far as it is known."""

    NUMBER = auto()
    TEXT = auto()
    BOOLEAN = auto()
    ANY = auto()


class NotConstant:
    """The value of what is no constant."""


NOT_CONSTANT: Final = NotConstant()


@dataclass(frozen=True, slots=True)
class Fragment:
    """One value. ``scalar`` is the SQL for it; ``type`` and ``json`` are only set where the kind is ANY."""

    kind: Kind
    scalar: str
    type: str = ""
    json: str = ""
    constant: object = NOT_CONSTANT


def number(sql: str, constant: object = NOT_CONSTANT) -> Fragment:
    """A number or undefined."""
    return Fragment(Kind.NUMBER, sql, constant=constant)


def text(sql: str, constant: object = NOT_CONSTANT) -> Fragment:
    """A string or undefined."""
    return Fragment(Kind.TEXT, sql, constant=constant)


def boolean(sql: str, constant: object = NOT_CONSTANT) -> Fragment:
    """A boolean (1 or 0) or undefined."""
    return Fragment(Kind.BOOLEAN, sql, constant=constant)


def any_json(json: str, constant: object = NOT_CONSTANT) -> Fragment:
    """A value given as JSON text."""
    return Fragment(Kind.ANY, f"json_extract({json}, '$')", f"json_type({json})", json, constant)


NULL: Final = Fragment(Kind.ANY, "NULL", "'null'", "'null'", None)
UNDEFINED: Final = Fragment(Kind.ANY, "NULL", "NULL", "NULL")


def as_number(fragment: Fragment) -> str:
    """SQL for the number; NULL for everything else."""
    if fragment.kind is Kind.NUMBER:
        return fragment.scalar
    if fragment.kind is Kind.ANY:
        return f"(CASE WHEN {fragment.type} IN {NUMERIC} THEN {fragment.scalar} END)"
    return "NULL"


def as_text(fragment: Fragment) -> str:
    """SQL for the string; NULL for everything else."""
    if fragment.kind is Kind.TEXT:
        return fragment.scalar
    if fragment.kind is Kind.ANY:
        return f"(CASE {fragment.type} WHEN 'text' THEN {fragment.scalar} END)"
    return "NULL"


def as_boolean(fragment: Fragment) -> str:
    """SQL for 1 or 0; NULL for what is no boolean."""
    if fragment.kind is Kind.BOOLEAN:
        return fragment.scalar
    if fragment.kind is Kind.ANY:
        return f"(CASE {fragment.type} WHEN 'true' THEN 1 WHEN 'false' THEN 0 END)"
    return "NULL"


def as_json(fragment: Fragment) -> str:
    """SQL for the JSON text; NULL for undefined."""
    if fragment.kind is Kind.ANY:
        return fragment.json
    if fragment.kind is Kind.BOOLEAN:
        return f"(CASE {fragment.scalar} WHEN 1 THEN 'true' WHEN 0 THEN 'false' END)"
    # A number or string is never the JSON text null, so that must have been undefined.
    return f"nullif(json_quote({fragment.scalar}), 'null')"


def type_class(fragment: Fragment) -> str:
    """SQL for the type, with one name for both kinds of number and one for both booleans; NULL for undefined."""
    if fragment.kind is Kind.ANY:
        return f"(CASE {fragment.type} WHEN 'integer' THEN 'real' WHEN 'false' THEN 'true' ELSE {fragment.type} END)"
    name = {Kind.NUMBER: "real", Kind.TEXT: "text", Kind.BOOLEAN: "true"}[fragment.kind]
    return f"(CASE WHEN {fragment.scalar} IS NOT NULL THEN '{name}' END)"


def comparable(fragment: Fragment) -> str:
    """SQL for a scalar that values of one type have in common exactly when they are equal."""
    if fragment.kind is not Kind.ANY:
        return fragment.scalar
    return (
        f"(CASE WHEN {fragment.type} IN ('array', 'object') THEN {canonical(fragment.json)} ELSE {fragment.scalar} END)"
    )


def canonical(json: str) -> str:
    """SQL for the one JSON text of all values that equal this JSON text's."""
    return f"cosmos_canonical({json})"


def is_defined(fragment: Fragment) -> str:
    """SQL that is 1 or 0, never NULL."""
    return f"({fragment.type if fragment.kind is Kind.ANY else fragment.scalar} IS NOT NULL)"


def rank(fragment: Fragment) -> str:
    """SQL for the place of the value's type in ORDER BY: undefined, null, booleans, numbers, strings, and the rest."""
    if fragment.kind is Kind.ANY:
        return (
            f"(CASE {fragment.type} WHEN 'null' THEN 1 WHEN 'false' THEN 2 WHEN 'true' THEN 2 WHEN 'integer' THEN 3 "
            "WHEN 'real' THEN 3 WHEN 'text' THEN 4 WHEN 'array' THEN 5 WHEN 'object' THEN 6 ELSE 0 END)"
        )
    return f"({fragment.scalar} IS NOT NULL)"


def equal(left: Fragment, right: Fragment) -> str:
    """Equality: undefined if a side is, false for values of different types."""
    if left.kind is not Kind.ANY and right.kind is not Kind.ANY:
        if left.kind is right.kind:
            return f"({left.scalar} = {right.scalar})"
        return f"(CASE WHEN {left.scalar} IS NOT NULL AND {right.scalar} IS NOT NULL THEN 0 END)"
    if left.kind is not Kind.ANY:
        left, right = right, left
    if right.kind is Kind.ANY:
        if right.constant is None:
            return f"({left.type} = 'null')"
        return (
            f"(CASE WHEN {left.type} IS NULL OR {right.type} IS NULL THEN NULL "
            f"WHEN {type_class(left)} = {type_class(right)} THEN {comparable(left)} IS {comparable(right)} ELSE 0 END)"
        )
    types = {Kind.NUMBER: NUMERIC, Kind.TEXT: "('text')", Kind.BOOLEAN: "('true', 'false')"}[right.kind]
    return (
        f"(CASE WHEN {left.type} IN {types} THEN {left.scalar} = {right.scalar} "
        f"WHEN {left.type} IS NOT NULL AND {right.scalar} IS NOT NULL THEN 0 END)"
    )


def ordered(operator: str, left: Fragment, right: Fragment) -> str:
    """``<``, ``<=``, ``>`` or ``>=``: undefined unless both sides are of one type that has an order."""
    for kind, convert in ((Kind.NUMBER, as_number), (Kind.TEXT, as_text), (Kind.BOOLEAN, as_boolean)):
        if kind in (left.kind, right.kind):
            return f"({convert(left)} {operator} {convert(right)})"
    nulls = "1" if "=" in operator else "0"
    return (
        f"(CASE WHEN {type_class(left)} <> {type_class(right)} OR {left.type} IN ('array', 'object') THEN NULL "
        f"WHEN {left.type} = 'null' AND {right.type} = 'null' THEN {nulls} "
        f"ELSE {left.scalar} {operator} {right.scalar} END)"
    )
