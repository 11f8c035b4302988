from __future__ import annotations

import json
import sqlite3
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudscale.emulators.cosmos.bindings import Bindings
from cloudscale.emulators.cosmos.query.required_text import LONGEST_TEXT, containing, required_texts

if TYPE_CHECKING:
    from cloudscale.emulators.cosmos.query.narrowing import Comparison

VALUES = st.none() | st.booleans() | st.text(st.characters(exclude_categories=["Cs"]), max_size=2 * LONGEST_TEXT)


def is_kept(text: str, *values: Any) -> bool:
    """Whether a document's text is kept for a condition that compares a member with each of the values."""
    bindings = Bindings()
    conditions = containing(required_texts([("=", ("v",), value) for value in values], {}), bindings)
    where = " AND ".join(conditions) or "TRUE"
    with sqlite3.connect(":memory:") as connection:
        query = f"SELECT count(*) FROM (SELECT :body AS body) AS d WHERE {where}"  # noqa: S608 - our own conditions
        (count,) = connection.execute(query, {**bindings.values, "body": text}).fetchone()
    return bool(count)


@given(value=VALUES, ascii_only=st.booleans())
def test_a_document_with_the_value_is_kept_however_it_is_written(value: Any, ascii_only: bool) -> None:
    assert is_kept(json.dumps({"v": value}, ensure_ascii=ascii_only), value)


@given(value=st.text("abc*?[]^-é\u0130", min_size=1, max_size=20))
def test_characters_that_patterns_give_a_meaning_are_looked_for_as_they_are(value: str) -> None:
    assert is_kept(json.dumps({"v": value}, ensure_ascii=False), value)
    assert not is_kept(json.dumps({"v": value[:-1]}, ensure_ascii=False), value)


@pytest.mark.parametrize(
    ("text", "value"), [('{"v":"b"}', "a"), ('{"v":"A"}', "a"), ('{"v":false}', True), ("{}", None)]
)
def test_a_document_without_the_value_is_left_out(text: str, value: Any) -> None:
    assert not is_kept(text, value)


def test_a_document_must_contain_all_values() -> None:
    assert is_kept('{"v":"a","w":"b"}', "a", "b")
    assert not is_kept('{"v":"a"}', "a", "b")


def test_what_is_in_no_documents_text_is_not_looked_for() -> None:
    comparisons: list[Comparison] = [
        ("=", ("_etag",), "x"),
        ("=", ("lower",), "x"),
        ("=", ("v",), 1),
        (">", ("v",), "x"),
    ]
    assert required_texts(comparisons, {"lower"}) == []
