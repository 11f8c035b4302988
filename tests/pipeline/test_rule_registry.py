"""The registry of rules: what it lists is what the schema asks for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cloudscale.pipeline import RULES_KEYWORD, pipeline_schema
from cloudscale.pipeline.rule_registry import RULES

if TYPE_CHECKING:
    from collections.abc import Iterator


def entries(node: Any) -> Iterator[tuple[str, str, str]]:
    """Expression, message and blamed field of every rule in the schema."""
    if isinstance(node, dict):
        for entry in node.get(RULES_KEYWORD, ()):
            yield entry["rule"], entry["message"], entry.get("fieldPath", "")
        node = node.values()
    elif not isinstance(node, list):
        return
    for member in node:
        yield from entries(member)


def test_the_schema_attaches_exactly_the_rules_that_are_listed() -> None:
    listed = {(rule.cel, rule.message, rule.as_validation().get("fieldPath", "")) for rule in RULES}
    assert set(entries(pipeline_schema())) == listed


def test_no_two_rules_share_an_expression() -> None:
    assert len({rule.cel for rule in RULES}) == len(RULES)
