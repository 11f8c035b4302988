"""The compiler against a reference interpreter, over random documents and expressions."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.emulators.cosmos.query.evaluation import run, same
from tests.emulators.cosmos.reference import UNDEFINED, evaluate

from cloudscale.emulators.cosmos.query import ast
from cloudscale.emulators.cosmos.query.parser import parse_query

texts = st.text(st.sampled_from("abAB é%_*\"'\\{["), max_size=4)
numbers = st.integers(-20, 20) | st.sampled_from([0.5, -2.25, 1.0, 1e10])
scalars = st.none() | st.booleans() | numbers | texts
# Few different values, so that some are equal.
values = st.recursive(
    scalars | st.sampled_from([0, 1, 1.0, True]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["x", "y"]), inner),
    max_leaves=4,
)
documents = st.dictionaries(st.sampled_from(["a", "b", "c", "d"]), values, max_size=4)

paths = st.builds(ast.Property, st.just(ast.Name("c", 0)), st.sampled_from(["a", "b", "c", "d", "e"]))
leaves = (
    paths
    | st.builds(ast.Property, paths, st.sampled_from(["x", 0, 1]))
    | st.builds(ast.Literal, scalars | st.just(UNDEFINED))
)


def _calls(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    one = ["IS_DEFINED", "IS_NULL", "IS_BOOL", "IS_NUMBER", "IS_STRING", "IS_ARRAY", "IS_OBJECT", "LOWER", "LENGTH"]
    two = ["STARTSWITH", "ENDSWITH", "CONTAINS", "CONCAT", "ARRAY_CONTAINS"]
    return st.builds(ast.Call, st.sampled_from(one), st.tuples(inner), st.just(0)) | st.builds(
        ast.Call, st.sampled_from(two), st.tuples(inner, inner), st.just(0)
    )


def _compound(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    operators = st.sampled_from(["=", "!=", "<", "<=", ">", ">=", "+", "-", "*", "/", "%", "||", "??"])
    several = st.lists(inner, min_size=2, max_size=3).map(tuple)
    return (
        st.builds(ast.Binary, operators, inner, inner)
        | st.builds(ast.Logical, st.sampled_from(["AND", "OR"]), several)
        | st.builds(ast.Negation, inner)
        | st.builds(ast.Minus, inner)
        | st.builds(ast.Membership, inner, several)
        | st.builds(ast.Conditional, inner, inner, inner)
        | st.builds(ast.ArrayLiteral, several)
        | st.builds(lambda value: ast.ObjectLiteral((("m", value),)), inner)
        | _calls(inner)
    )


expressions = st.recursive(leaves, _compound, max_leaves=6)


@settings(max_examples=600, deadline=None)
@given(expressions, documents)
def test_a_compiled_expression_has_the_value_that_the_language_defines(
    expression: ast.Expression, document: dict[str, Any]
) -> None:
    assert same(run(expression, document), evaluate(expression, document))


@settings(max_examples=200, deadline=None)
@given(values, values)
def test_values_of_all_types_are_equal_or_not_as_the_language_defines(left: Any, right: Any) -> None:
    equality = ast.Binary("=", ast.Property(ast.Name("c", 0), "left"), ast.Property(ast.Name("c", 0), "right"))
    document = {"left": left, "right": right}
    assert run(equality, document) is evaluate(equality, document)


@pytest.mark.parametrize(
    ("left", "right", "expected"),
    [
        ({"x": 1, "y": [2]}, {"y": [2.0], "x": 1.0}, True),
        ({"x": {"b": 1, "a": None}}, {"x": {"a": None, "b": 1}}, True),
        ({"x": 1}, {"x": True}, False),
        ({"x": 1}, {"x": "1"}, False),
        ({"x": 1}, {"x": 1, "y": None}, False),
        ([1, 2], [2, 1], False),
        ([1e20], [100_000_000_000_000_000_000], True),
        ([0], [-0.0], True),
        ([], {}, False),
    ],
)
def test_objects_and_arrays_are_compared_by_what_is_in_them(left: Any, right: Any, *, expected: bool) -> None:
    left_side = ast.Property(ast.Name("c", 0), "left")
    for other, document in (
        (ast.Property(ast.Name("c", 0), "right"), {"left": left, "right": right}),
        (ast.Parameter("@right", 0), {"left": left}),
    ):
        assert run(ast.Binary("=", left_side, other), document, {"@right": right}) is expected
        assert run(ast.Binary("!=", left_side, other), document, {"@right": right}) is not expected
        assert run(ast.Membership(left_side, (other, other)), document, {"@right": right}) is expected
        elements = ast.ArrayLiteral((left_side,))
        assert run(ast.Call("ARRAY_CONTAINS", (elements, other), 0), document, {"@right": right}) is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("c.text LIKE 'A%'", True),
        ("c.text LIKE 'a%'", False),
        ("c.text LIKE '%b_d%'", True),
        ("c.text LIKE '%[x-z]%'", False),
        ("c.text NOT LIKE '%[*]%'", True),
        ("c.text LIKE 'Abc!%%' ESCAPE '!'", False),
        ("c.n BETWEEN 1 AND 5", True),
        ("c.n NOT BETWEEN 1 AND 5", False),
        ("c.n IN (1, 2, '5')", False),
        ("c.n NOT IN (1, 2)", True),
        ("SUBSTRING(c.text, 1, 2)", "bc"),
        ("INDEX_OF(c.text, 'd')", 3),
        ("LEFT(c.text, 2) || RIGHT(c.text, 2)", "Abde"),
        ("CONTAINS(c.text, 'BCD', true)", True),
        ("REPLACE(UPPER(c.text), 'B', '-')", "A-CDE"),
        ("ABS(-c.n) + FLOOR(-1.5) + CEILING(1.2) + ROUND(2.5)", 5 - 2 + 2 + 3),
        ("c.n / 2", 2.5),
        ("c.n % 3", 2),
        ("POWER(2, 3)", 8),
        ("ARRAY_LENGTH(c.tags)", 2),
        ("ARRAY_CONTAINS(c.tags, {'k': 1}, true)", True),
        ("ARRAY_CONTAINS(c.tags, {'k': 1})", False),
        ("ARRAY_CONTAINS(c.tags, {'k': 1, 'v': 'x'})", True),
        ("c.tags[1].k", 2),
        ("c['tags'][0]['v']", "x"),
        ("IIF(c.n > 3, 'big', 'small')", "big"),
        ("c.n > 3 ? c.text : null", "Abcde"),
        ("c.none ?? c.n", 5),
        ("{'a': c.n, 'b': c.none, 'c': [c.n, c.none]}", {"a": 5, "c": [5]}),
        ("ToString(c.n)", "5"),
        ("c.n = 5.0", True),
        ("NOT c.none", UNDEFINED),
        ("1 + 2 * 3 - 4 / 2", 5),
        ("(1 + 2) * 3", 9),
        ("c.n = 4 OR c.n = 5 AND true", True),
        ("NOT c.n = 4", True),
        ("'it\\'s' || \"\\u00e9\\n\"", "it'sé\n"),
    ],
)
def test_text_is_parsed_and_computed(text: str, expected: Any) -> None:
    document = {"text": "Abcde", "n": 5, "tags": [{"k": 1, "v": "x"}, {"k": 2}]}
    expression = parse_query(" ".join(("SELECT VALUE", text, "FROM c"))).value
    assert expression is not None
    assert same(run(expression, document), expected)


def test_a_thousand_alternatives_are_no_problem() -> None:
    condition = " OR ".join(f"(c.id = 'i{number}' AND c.pk = 'p{number}')" for number in range(1000))
    where = parse_query(" ".join(("SELECT * FROM c WHERE", condition))).where
    assert where is not None
    assert run(where, {"id": "i999", "pk": "p999"}) is True
    assert run(where, {"id": "i999", "pk": "p998"}) is False
