"""The parts that descriptions of addresses are made of, as OpenAPI 3.1 has them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from cloudscale.dashboard import problems

if TYPE_CHECKING:
    from collections.abc import Mapping

REFERENCE: Final = "#/components/schemas/{name}"


def parameter(name: str, schema: dict[str, Any], description: str) -> dict[str, Any]:
    """A parameter of the query, which may be left out."""
    return {"name": name, "in": "query", "required": False, "description": description, "schema": schema}


def in_path(name: str, schema: dict[str, Any], description: str) -> dict[str, Any]:
    """A parameter of the path."""
    return {"name": name, "in": "path", "required": True, "description": description, "schema": schema}


def responses(
    model: str, refusals: Mapping[str, str], *, status: str = "200", meaning: str = "Found."
) -> dict[str, Any]:
    """The answers of an address: a model with ``status``, or a problem document for each status of ``refusals``."""
    found = {"description": meaning, "content": {"application/json": {"schema": reference(model)}}}
    return {status: found} | {refused: refusal(text) for refused, text in refusals.items()}


def refusal(description: str) -> dict[str, Any]:
    """A problem document."""
    return {"description": description, "content": {problems.CONTENT_TYPE: {"schema": reference("Problem")}}}


def reference(name: str) -> dict[str, Any]:
    """The schema of a model."""
    return {"$ref": REFERENCE.format(name=name)}
