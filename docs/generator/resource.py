"""The page of the resource: every field with its type, range, default and an example."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from docs.generator.examples import example_of
from docs.generator.markdown import code, page, table

from cloudscale.pipeline import RULES_KEYWORD
from cloudscale.pipeline.crd import structural_schema

if TYPE_CHECKING:
    from collections.abc import Iterator

Schema = dict[str, Any]


class Field(NamedTuple):
    """One field: its path from ``spec`` or ``status`` on, and its schema."""

    path: str
    schema: Schema


def fields_of(schema: Schema, path: str = "") -> Iterator[Field]:
    """All fields below a schema, those of a list's items included, in the order of the models."""
    for name, member in schema.get("properties", {}).items():
        field = Field(f"{path}.{name}" if path else name, member)
        yield field
        if not is_leaf(member):
            yield from fields_of(member, field.path)
        yield from fields_of(member.get("items", {}), f"{field.path}[]")


def spec_fields() -> list[Field]:
    """Every field of ``spec``."""
    return list(fields_of(structural_schema()["properties"]["spec"]))


def render() -> str:
    """The page."""
    spec = structural_schema()["properties"]["spec"]
    parts = [
        (
            "Made from the models in `apps/cloudscale/pipeline`. `cloudscale schema` prints the resource definition, "
            "`kubectl explain evp.spec --recursive` shows it in a cluster, `cloudscale validate FILE` checks a file. "
            "Every field may be left out unless its default says *required*."
        ),
    ]
    for name, schema in spec["properties"].items():
        parts.append(f"## spec.{name}")
        parts.append(schema.get("description", ""))
        below = [Field(f"{name}{field.path}", field.schema) for field in _below(schema)]
        required = _required(schema, name)
        fields = [Field(name, schema), *below]
        parts.append(_fields_table([field for field in fields if is_leaf(field.schema)], required))
        parts += _rules(schema, name)
    parts.append("## Rules over several parts")
    parts += _rules_of(spec)
    parts.append("## status")
    status = structural_schema()["properties"]["status"]
    parts.append("What the operator observed. Nobody else writes it.")
    observed = ((code(path), member.get("type", ""), member["description"]) for path, member in fields_of(status))
    parts.append(table(["Field", "Type", "Meaning"], observed))
    return page("EventPipeline", *parts)


def limits(schema: Schema) -> str:
    """Type and range in words."""
    bounds = [schema.get("format") if schema.get("format") not in ("int32", "int64") else None]
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is not None:
        bounds.append(f"{'above' if schema.get('exclusiveMinimum') else 'from'} {low:,}")
    if high is not None:
        bounds.append(f"{'below' if schema.get('exclusiveMaximum') else 'to'} {high:,}")
    if "multipleOf" in schema:
        bounds.append(f"in steps of {schema['multipleOf']:,}")
    if "enum" in schema:
        bounds.append("one of " + ", ".join(code(value) for value in schema["enum"]))
    for keyword, unit in (("maxLength", "characters"), ("maxItems", "items"), ("maxProperties", "members")):
        if keyword in schema:
            bounds.append(f"up to {schema[keyword]} {unit}")
    bounds += [rule["message"] for rule in schema.get(RULES_KEYWORD, []) if "items" not in schema]
    return "; ".join([schema.get("type", "any"), *(bound for bound in bounds if bound)])


def _below(schema: Schema) -> list[Field]:
    found = [Field(f".{field.path}", field.schema) for field in fields_of(schema)]
    return found + [Field(f"[].{field.path}", field.schema) for field in fields_of(schema.get("items", {}))]


def is_leaf(schema: Schema) -> bool:
    """Whether a field has no fields of its own. What is free in its form is one value, whatever it may not hold."""
    return "properties" not in schema or "x-kubernetes-preserve-unknown-fields" in schema


def _required(schema: Schema, path: str) -> set[str]:
    found = {f"{path}.{name}" for name in schema.get("required", [])}
    for name, member in schema.get("properties", {}).items():
        found |= _required(member, f"{path}.{name}")
    return found | (_required(schema["items"], f"{path}[]") if "items" in schema else set())


def _fields_table(fields: list[Field], required: set[str]) -> str:
    rows = []
    for path, schema in fields:
        default = "*required*" if path in required else code(schema["default"]) if "default" in schema else "none"
        meaning = schema.get("description", "")
        rows.append([code(path), limits(schema), default, code(example_of(path, schema)), meaning])
    return table(["Field", "Type and range", "Default", "Example", "Meaning"], rows)


def _rules(schema: Schema, path: str) -> list[str]:
    found = [(path, rule) for rule in schema.get(RULES_KEYWORD, [])]
    for field in _below(schema):
        if "properties" in field.schema or "items" in field.schema:
            found += [(path + field.path, rule) for rule in field.schema.get(RULES_KEYWORD, [])]
    return ["\n".join(f"- {code(where)}: {rule['message']}." for where, rule in found)] if found else []


def _rules_of(schema: Schema) -> list[str]:
    return ["\n".join(f"- {rule['message']}." for rule in schema.get(RULES_KEYWORD, []))]
