"""Every pattern of the resource ends where the text ends: no name brings a line feed into what is made of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jsonschema_rs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloudscale.errors import InvalidPipelineError
from cloudscale.pipeline import load, pipeline_schema

if TYPE_CHECKING:
    from collections.abc import Iterator


def patterns_in(schema: Any) -> Iterator[str]:
    """All that a text anywhere below is matched with."""
    if isinstance(schema, dict):
        if isinstance(schema.get("pattern"), str):
            yield schema["pattern"]
        for member in schema.values():
            yield from patterns_in(member)
    elif isinstance(schema, list):
        for member in schema:
            yield from patterns_in(member)


PATTERNS = sorted(set(patterns_in(pipeline_schema())))


@pytest.mark.parametrize("pattern", PATTERNS)
@given(data=st.data(), end=st.sampled_from(["\n", "\r\n", "\n\n"]))
@settings(max_examples=20)
def test_a_line_feed_at_the_end_is_refused(pattern: str, data: st.DataObject, end: str) -> None:
    text = data.draw(st.from_regex(pattern, fullmatch=True)).rstrip("\n")
    # As the loader and the API server match it: elsewhere a dollar sign stands before a line feed, too.
    validator = jsonschema_rs.validator_for({"pattern": pattern})
    assert validator.is_valid(text)
    assert not validator.is_valid(text + end)


def test_there_are_patterns() -> None:
    assert len(PATTERNS) > 20


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize(
    ("field", "text"),
    [("queue.name", "events"), ("store.database", "db"), ("identity.clientId", "0" * 8 + "-0000" * 3 + "-" + "0" * 12)],
)
def test_a_name_with_a_line_feed_at_its_end_is_refused_at_its_field(field: str, text: str, end: str) -> None:
    section, name = field.split(".")
    document = {"apiVersion": "cloudscale.io/v1alpha1", "kind": "EventPipeline", "metadata": {"name": "x"}}
    load(document | {"spec": {section: {name: text}}})
    with pytest.raises(InvalidPipelineError, match=f"spec.{field}"):
        load(document | {"spec": {section: {name: text + end}}})
