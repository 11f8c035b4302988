"""The built-in functions of Cosmos SQL.

An argument of the wrong type makes a function undefined, and so does an undefined one, except for the type checks.
"""

import math
import sqlite3
from collections.abc import Callable
from typing import Any, Final

import msgspec

from cloudscale.emulators.cosmos.errors import bad_request
from cloudscale.emulators.cosmos.query import fragments
from cloudscale.emulators.cosmos.query.canonical import canonical_json
from cloudscale.emulators.cosmos.query.fragments import (
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
from cloudscale.emulators.cosmos.query.scope import Bindings, path_fragment
from cloudscale.emulators.cosmos.resources import document_rid

_Implementation = Callable[[list[Fragment]], Fragment]


def register(connection: sqlite3.Connection) -> None:
    """Add the functions that SQLite lacks to a connection."""
    for name, arguments, function in (
        ("cosmos_rid", 2, document_rid),
        ("cosmos_document", 6, _document),
        ("cosmos_element", 2, _element),
        ("cosmos_canonical", 1, canonical_json),
        ("cosmos_lower", 1, lambda value: None if value is None else value.lower()),
        ("cosmos_upper", 1, lambda value: None if value is None else value.upper()),
        ("cosmos_modulo", 2, _modulo),
        ("cosmos_power", 2, _power),
        ("cosmos_reverse", 1, lambda value: None if value is None else value[::-1]),
    ):
        connection.create_function(name, arguments, function, deterministic=True)


def _document(prefix: bytes, link: str, body: str, numbered: int, lsn: int, timestamp: int) -> str:
    rid = document_rid(prefix, numbered)
    return (
        f'{body[:-1]},"_rid":"{rid}","_self":"{link}docs/{rid}/",'
        f'"_etag":"\\"{lsn:08x}-0000-0000-0000-{timestamp:012x}\\"","_attachments":"attachments/","_ts":{timestamp}}}'
    )


def _element(kind: str, value: Any) -> str:
    if kind in ("array", "object"):
        return str(value)
    return kind if kind in ("true", "false", "null") else msgspec.json.encode(value).decode()


def _modulo(left: float | None, right: float | None) -> float | None:
    if left is None or right is None or right == 0:
        return None
    result = math.fmod(left, right)
    return int(result) if isinstance(left, int) and isinstance(right, int) else result


def _power(base: float | None, exponent: float | None) -> float | None:
    if base is None or exponent is None:
        return None
    try:
        return math.pow(base, exponent)
    except (ValueError, OverflowError):
        return None


def choose(condition: Fragment, yes: Fragment, no: Fragment) -> Fragment:
    """``condition ? yes : no``: what is not true counts as false."""
    test = as_boolean(condition)
    if yes.kind is no.kind and yes.kind is not Kind.ANY:
        return Fragment(yes.kind, f"(CASE WHEN {test} THEN {yes.scalar} ELSE {no.scalar} END)")
    return any_json(f"(CASE WHEN {test} THEN {as_json(yes)} ELSE {as_json(no)} END)")


def first_defined(left: Fragment, right: Fragment) -> Fragment:
    """``left ?? right``."""
    if left.kind is right.kind and left.kind is not Kind.ANY:
        return Fragment(left.kind, f"coalesce({left.scalar}, {right.scalar})")
    return any_json(f"coalesce({as_json(left)}, {as_json(right)})")


def compile_call(bindings: Bindings, name: str, arguments: list[Fragment], position: int) -> Fragment:
    """A function call; raises CosmosError 400 for an unknown function or a wrong number of arguments."""
    if name == "ARRAY_CONTAINS" and 2 <= len(arguments) <= 3:
        return _array_contains(bindings, arguments)
    entry = _FUNCTIONS.get(name)
    if entry is None:
        raise bad_request(f"'{name}' at position {position} is not a recognized built-in function name.")
    least, most, implementation = entry
    if not least <= len(arguments) <= most:
        raise bad_request(f"{name} at position {position} cannot take {len(arguments)} arguments.")
    return implementation(arguments)


def _type_check(*types: str) -> _Implementation:
    names = ", ".join(f"'{name}'" for name in types)
    known = {"integer": Kind.NUMBER, "text": Kind.TEXT, "true": Kind.BOOLEAN}

    def check(arguments: list[Fragment]) -> Fragment:
        (argument,) = arguments
        if argument.kind is Kind.ANY:
            return boolean(f"coalesce({argument.type} IN ({names}), 0)")
        matches = any(known.get(name) is argument.kind for name in types)
        return boolean(f"({argument.scalar} IS NOT NULL)" if matches else "0")

    return check


def _numeric(template: str) -> _Implementation:
    return lambda arguments: number(template.format(*[as_number(argument) for argument in arguments]))


def _textual(template: str) -> _Implementation:
    return lambda arguments: text(template.format(*[as_text(argument) for argument in arguments]))


def _text_test(template: str) -> _Implementation:
    """A test of two strings, with an optional third argument that says to ignore case."""

    def test(arguments: list[Fragment]) -> Fragment:
        left, right = as_text(arguments[0]), as_text(arguments[1])
        if len(arguments) == 3:
            ignore = as_boolean(arguments[2])
            left = f"(CASE WHEN {ignore} THEN cosmos_lower({left}) ELSE {left} END)"
            right = f"(CASE WHEN {ignore} THEN cosmos_lower({right}) ELSE {right} END)"
        return boolean(template.format(left, right))

    return test


def _substring(arguments: list[Fragment]) -> Fragment:
    value, start, length = as_text(arguments[0]), as_number(arguments[1]), as_number(arguments[2])
    return text(f"substr({value}, max({start}, 0) + 1, max({length}, 0))")


def _index_of(arguments: list[Fragment]) -> Fragment:
    return number(f"(instr({as_text(arguments[0])}, {as_text(arguments[1])}) - 1)")


def _left(arguments: list[Fragment]) -> Fragment:
    return text(f"substr({as_text(arguments[0])}, 1, max({as_number(arguments[1])}, 0))")


def _right(arguments: list[Fragment]) -> Fragment:
    value, count = as_text(arguments[0]), as_number(arguments[1])
    return text(f"substr({value}, max(length({value}) - max({count}, 0), 0) + 1)")


def _concatenate(arguments: list[Fragment]) -> Fragment:
    return text("(" + " || ".join(as_text(argument) for argument in arguments) + ")")


def _to_string(arguments: list[Fragment]) -> Fragment:
    (argument,) = arguments
    if argument.kind is Kind.TEXT:
        return argument
    if argument.kind is Kind.ANY:
        # Concatenation takes away the mark by which SQLite knows JSON, or the string would not be quoted.
        return text(f"(CASE {argument.type} WHEN 'text' THEN {argument.scalar} ELSE {argument.json} || '' END)")
    return text(as_json(argument))


def _array_length(arguments: list[Fragment]) -> Fragment:
    (argument,) = arguments
    if argument.kind is not Kind.ANY:
        return fragments.UNDEFINED
    return number(f"(CASE {argument.type} WHEN 'array' THEN json_array_length({argument.json}) END)")


def _array_contains(bindings: Bindings, arguments: list[Fragment]) -> Fragment:
    array, wanted = arguments[0], arguments[1]
    if array.kind is not Kind.ANY:
        return fragments.UNDEFINED
    element = Fragment(Kind.ANY, "e.value", "e.type", "cosmos_element(e.type, e.value)")
    partial = len(arguments) == 3 and arguments[2].constant is True
    if partial and isinstance(wanted.constant, dict):
        test = _contains_members(
            bindings, "(CASE WHEN e.type IN ('array', 'object') THEN e.value END)", wanted.constant
        )
    else:
        test = fragments.equal(element, wanted)
    rows = f"json_each(CASE {array.type} WHEN 'array' THEN {array.json} ELSE '[]' END)"
    return boolean(f"(CASE {array.type} WHEN 'array' THEN EXISTS (SELECT 1 FROM {rows} AS e WHERE {test}) END)")


def _contains_members(bindings: Bindings, body: str, members: dict[str, Any]) -> str:
    tests = [f"json_type({body}) = 'object'"]
    for name, value in members.items():
        found = path_fragment(bindings, body, [name])
        if isinstance(value, dict):
            tests.append(_contains_members(bindings, found.json, value))
        else:
            tests.append(fragments.equal(found, _constant(bindings, value)))
    return "(" + " AND ".join(tests) + ")"


def _constant(bindings: Bindings, value: Any) -> Fragment:
    if value is None:
        return fragments.NULL
    if isinstance(value, bool):
        return boolean("1" if value else "0")
    if isinstance(value, int | float):
        return number(bindings.bind(value))
    if isinstance(value, str):
        return text(bindings.bind(value))
    return any_json(bindings.bind(msgspec.json.encode(value).decode()))


_FLOOR: Final = "(CAST({0} AS INTEGER) - (CAST({0} AS INTEGER) > {0}))"
_CEILING: Final = "(CAST({0} AS INTEGER) + (CAST({0} AS INTEGER) < {0}))"

_FUNCTIONS: Final[dict[str, tuple[int, int, _Implementation]]] = {
    "IS_DEFINED": (1, 1, lambda arguments: boolean(fragments.is_defined(arguments[0]))),
    "IS_NULL": (1, 1, _type_check("null")),
    "IS_STRING": (1, 1, _type_check("text")),
    "IS_NUMBER": (1, 1, _type_check("integer", "real")),
    "IS_BOOL": (1, 1, _type_check("true", "false")),
    "IS_ARRAY": (1, 1, _type_check("array")),
    "IS_OBJECT": (1, 1, _type_check("object")),
    "IS_PRIMITIVE": (1, 1, _type_check("null", "true", "false", "integer", "real", "text")),
    "STARTSWITH": (2, 3, _text_test("(substr({0}, 1, length({1})) = {1})")),
    "ENDSWITH": (
        2,
        3,
        _text_test("(length({0}) >= length({1}) AND substr({0}, length({0}) - length({1}) + 1) = {1})"),
    ),
    "CONTAINS": (2, 3, _text_test("(instr({0}, {1}) > 0)")),
    "STRINGEQUALS": (2, 3, _text_test("({0} = {1})")),
    "LOWER": (1, 1, _textual("cosmos_lower({0})")),
    "UPPER": (1, 1, _textual("cosmos_upper({0})")),
    "LENGTH": (1, 1, lambda arguments: number(f"length({as_text(arguments[0])})")),
    "SUBSTRING": (3, 3, _substring),
    "INDEX_OF": (2, 2, _index_of),
    "LEFT": (2, 2, _left),
    "RIGHT": (2, 2, _right),
    "CONCAT": (2, 100, _concatenate),
    "REPLACE": (3, 3, _textual("replace({0}, {1}, {2})")),
    "REVERSE": (1, 1, _textual("cosmos_reverse({0})")),
    "TRIM": (1, 1, _textual("trim({0})")),
    "LTRIM": (1, 1, _textual("ltrim({0})")),
    "RTRIM": (1, 1, _textual("rtrim({0})")),
    "TOSTRING": (1, 1, _to_string),
    "ABS": (1, 1, _numeric("abs({0})")),
    "FLOOR": (1, 1, _numeric(_FLOOR)),
    "CEILING": (1, 1, _numeric(_CEILING)),
    "ROUND": (1, 2, lambda arguments: number(f"round({', '.join(as_number(argument) for argument in arguments)})")),
    "SIGN": (1, 1, _numeric("(({0} > 0) - ({0} < 0))")),
    "POWER": (2, 2, _numeric("cosmos_power({0}, {1})")),
    "SQRT": (1, 1, _numeric("cosmos_power({0}, 0.5)")),
    "ARRAY_LENGTH": (1, 1, _array_length),
    "IIF": (3, 3, lambda arguments: choose(*arguments)),
    "GETCURRENTTIMESTAMP": (0, 0, lambda _: number("(unixepoch() * 1000)")),
    "GETCURRENTDATETIME": (0, 0, lambda _: text("strftime('%Y-%m-%dT%H:%M:%f0000Z', 'now')")),
}
