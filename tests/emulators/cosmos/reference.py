"""A tiny interpreter of Cosmos SQL expressions, to compare the compiler with.

Written for clarity from the language's rules: undefined is an object of its own, equality of different types is false,
an order between different types is undefined.
"""

from __future__ import annotations

import math
from typing import Any

from cloudscale.emulators.cosmos.query import ast

UNDEFINED: Any = ast.UNDEFINED


def evaluate(node: ast.Expression, document: dict[str, Any]) -> Any:  # noqa: C901 - one case for each kind of node
    """The value of an expression over one document, which is called ``c``."""
    match node:
        case ast.Literal(value):
            return value
        case ast.Name():
            return document
        case ast.Property(target, key):
            assert not isinstance(key, ast.Parameter)
            return _member(evaluate(target, document), key)
        case ast.Negation(operand):
            value = evaluate(operand, document)
            return not value if isinstance(value, bool) else UNDEFINED
        case ast.Minus(operand):
            value = evaluate(operand, document)
            return -value if _is_number(value) else UNDEFINED
        case ast.Logical(operator, operands):
            return _logical(operator, [evaluate(operand, document) for operand in operands])
        case ast.Membership(operand, choices):
            value = evaluate(operand, document)
            return _logical("OR", [_equal(value, evaluate(choice, document)) for choice in choices])
        case ast.Conditional(condition, yes, no):
            return evaluate(yes if evaluate(condition, document) is True else no, document)
        case ast.Binary(operator, left, right):
            return _binary(operator, evaluate(left, document), evaluate(right, document))
        case ast.Call(name, arguments, _):
            return _call(name, [evaluate(argument, document) for argument in arguments])
        case ast.ObjectLiteral(members):
            pairs = [(name, evaluate(value, document)) for name, value in members]
            return {name: value for name, value in pairs if value is not UNDEFINED}
        case ast.ArrayLiteral(elements):
            values = [evaluate(element, document) for element in elements]
            return [value for value in values if value is not UNDEFINED]
    raise NotImplementedError(node)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _type(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if _is_number(value):
        return "number"
    if isinstance(value, str):
        return "string"
    return "array" if isinstance(value, list) else "object"


def _member(value: Any, key: str | int) -> Any:
    if isinstance(value, dict) and isinstance(key, str):
        return value.get(key, UNDEFINED)
    if isinstance(value, list) and isinstance(key, int) and key < len(value):
        return value[key]
    return UNDEFINED


def _logical(operator: str, values: list[Any]) -> Any:
    decisive = operator == "OR"
    if any(value is decisive for value in values):
        return decisive
    return not decisive if all(isinstance(value, bool) for value in values) else UNDEFINED


def _equal(left: Any, right: Any) -> Any:
    if left is UNDEFINED or right is UNDEFINED:
        return UNDEFINED
    if _type(left) != _type(right):
        return False
    if isinstance(left, list):
        return len(left) == len(right) and all(map(_equal, left, right))
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(_equal(left[name], right[name]) for name in left)
    return left == right


def _binary(operator: str, left: Any, right: Any) -> Any:  # noqa: C901 - one case for each operator
    if operator == "??":
        return right if left is UNDEFINED else left
    if operator in ("=", "!="):
        same = _equal(left, right)
        return same if same is UNDEFINED or operator == "=" else not same
    if left is UNDEFINED or right is UNDEFINED:
        return UNDEFINED
    if operator in ("<", "<=", ">", ">="):
        if _type(left) != _type(right) or _type(left) in ("array", "object"):
            return UNDEFINED
        if left is None:
            return "=" in operator
        return {"<": left < right, "<=": left <= right, ">": left > right, ">=": left >= right}[operator]
    if operator == "||":
        return left + right if isinstance(left, str) and isinstance(right, str) else UNDEFINED
    if not (_is_number(left) and _is_number(right)):
        return UNDEFINED
    if operator in "/%" and right == 0:
        return UNDEFINED
    if operator == "%":
        return math.fmod(left, right)
    return {"+": left + right, "-": left - right, "*": left * right, "/": left / (right or 1)}[operator]


def _call(name: str, arguments: list[Any]) -> Any:
    checks = {
        "IS_NULL": "null",
        "IS_BOOL": "boolean",
        "IS_NUMBER": "number",
        "IS_STRING": "string",
        "IS_ARRAY": "array",
        "IS_OBJECT": "object",
    }
    first = arguments[0]
    if name == "IS_DEFINED":
        return first is not UNDEFINED
    if name in checks:
        return first is not UNDEFINED and _type(first) == checks[name]
    if name == "ARRAY_CONTAINS":
        if not isinstance(first, list) or arguments[1] is UNDEFINED:
            return False if isinstance(first, list) else UNDEFINED
        return any(_equal(element, arguments[1]) is True for element in first)
    if not all(isinstance(argument, str) for argument in arguments):
        return UNDEFINED
    return {
        "STARTSWITH": lambda: first.startswith(arguments[1]),
        "ENDSWITH": lambda: first.endswith(arguments[1]),
        "CONTAINS": lambda: arguments[1] in first,
        "LOWER": first.lower,
        "UPPER": first.upper,
        "LENGTH": lambda: len(first),
        "CONCAT": lambda: "".join(arguments),
    }[name]()
