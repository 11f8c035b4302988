from __future__ import annotations

import json
import operator
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudscale.emulators.cosmos.query.ast import Literal
from cloudscale.emulators.cosmos.query.text_bounds import text_bounds

if TYPE_CHECKING:
    from cloudscale.emulators.cosmos.query.narrowing import Comparison

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=3)
VALUES = TEXTS | st.none() | st.booleans() | st.integers() | st.lists(TEXTS, max_size=1)
OPERATORS = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}


@given(value=VALUES, bound=TEXTS, name=st.sampled_from(sorted(OPERATORS)), ascii_only=st.booleans())
def test_a_document_is_within_its_bound_when_the_comparison_is_true(
    value: Any, bound: str, name: str, ascii_only: bool
) -> None:
    bounds = text_bounds([(Literal("its own"), (name, ("v",), bound))], {})
    text = json.dumps({"w": {"v": bound}, "v": value}, ensure_ascii=ascii_only)

    assert bounds.holds(text) is (isinstance(value, str) and OPERATORS[name](value, bound))
    assert bounds.expressions == [Literal("its own")]


def test_a_document_must_be_within_all_bounds() -> None:
    bounds = text_bounds([(Literal(1), (">", ("v",), "a")), (Literal(2), ("<", ("w",), "c"))], {})
    assert bounds.holds('{"v":"b","w":"b"}')
    assert not bounds.holds('{"v":"b","w":"c"}')
    assert not bounds.holds('{"v":"b"}')


def test_a_document_with_a_number_beyond_a_double_is_read_all_the_same() -> None:
    bounds = text_bounds([(Literal(1), (">", ("v",), "a"))], {})
    assert bounds.holds('{"v":"b","n":1e400}')
    assert not bounds.holds('{"v":1e400}')


@pytest.mark.parametrize(
    "comparison",
    [
        ("=", ("v",), "x"),
        ("<", ("v", "w"), "x"),
        ("<", ("v",), 1),
        ("<", ("_etag",), "x"),
        ("<", ("lower",), "x"),
        ("<", ("größe",), "x"),
    ],
)
def test_what_is_not_a_text_at_the_top_of_a_document_has_no_bound_here(comparison: Comparison) -> None:
    assert text_bounds([(Literal(1), comparison)], {"lower"}).conditions == []
