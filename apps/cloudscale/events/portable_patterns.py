"""Makes JSON schemas that msgspec writes usable by those who are not Python."""

from __future__ import annotations

from typing import Any


def portable(schema: Any) -> Any:
    r"""A schema whose patterns end as they do in every language: Python's ``\Z`` is ``$`` elsewhere."""
    if isinstance(schema, list):
        return [portable(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        name: value.removesuffix(r"\Z") + "$" if name == "pattern" and str(value).endswith(r"\Z") else portable(value)
        for name, value in schema.items()
    }
