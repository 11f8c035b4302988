"""Expressions computed over one document, without a server."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import msgspec
from tests.emulators.cosmos.reference import UNDEFINED

from cloudscale.emulators.cosmos.query.compiler import Compiler
from cloudscale.emulators.cosmos.query.parser import parse_query
from cloudscale.emulators.cosmos.query.scope import DOCUMENT, Compilation, Scope
from cloudscale.emulators.cosmos.query.selection import compile_subquery
from cloudscale.emulators.cosmos.query.values import encode

if TYPE_CHECKING:
    from cloudscale.emulators.cosmos.query import ast


def run(expression: ast.Expression, document: dict[str, Any], parameters: dict[str, Any] | None = None) -> Any:
    """The value of the compiled expression over a document as it is stored."""
    compilation = Compilation(parameters or {})
    compute = Compiler(compilation, Scope({"c": DOCUMENT}), compile_subquery).compile(expression)
    values: list[Any] = [UNDEFINED] * compilation.places
    values[DOCUMENT] = msgspec.json.decode(msgspec.json.encode(document))
    result = compute(values)
    return result if result is UNDEFINED else msgspec.json.decode(encode(result))


def same(left: Any, right: Any) -> bool:
    """Equality that tells booleans from numbers and allows for rounding."""
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(same(left[name], right[name]) for name in left)
    if isinstance(left, int | float) and isinstance(right, int | float):
        return isinstance(left, bool) == isinstance(right, bool) and math.isclose(left, right, rel_tol=1e-12)
    return bool(left == right)


def evaluate_text(text: str, document: dict[str, Any] | None = None, /, **parameters: Any) -> Any:
    """The value of an expression given as text, over a document that is called ``c``."""
    expression = parse_query(" ".join(("SELECT VALUE", text, "FROM c"))).value
    assert expression is not None
    return run(expression, document or {}, {f"@{name}": value for name, value in parameters.items()})
