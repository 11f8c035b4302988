"""The page of the HTTP API, from the description that ingestion serves and the tables behind its answers."""

from __future__ import annotations

from typing import Any

from docs.generator.markdown import code, page, table

from cloudscale.dashboard.problems import Kind as ReadingKind
from cloudscale.dashboard.reading import openapi as reading
from cloudscale.events.checking import MAXIMUM_EVENT_BYTES
from cloudscale.ingestion.openapi import describe
from cloudscale.ingestion.problems import Kind
from cloudscale.ingestion.requests import MAXIMUM_BATCH_BYTES, MAXIMUM_BATCH_EVENTS
from cloudscale.pipeline import load

Schema = dict[str, Any]


def described() -> dict[str, Any]:
    """The OpenAPI document of a pipeline with the resource's defaults."""
    return describe(
        load({"apiVersion": "cloudscale.io/v1alpha1", "kind": "EventPipeline", "metadata": {"name": "clickstream"}}),
        access_required=True,
    )


def render() -> str:
    """The page."""
    document, read = described(), reading.describe("clickstream")
    parts = [
        document["info"]["description"],
        (
            f"One event has {MAXIMUM_EVENT_BYTES:,} bytes at the most, a batch {MAXIMUM_BATCH_EVENTS:,} events and "
            f"{MAXIMUM_BATCH_BYTES:,} bytes. A pipeline serves its own description, with the event types that its "
            "resource adds, at `/openapi.json`, and shows it at `/docs`."
        ),
        *_operations(document),
        read["info"]["description"] + " The dashboard serves them, and their description at its `/openapi.json`.",
        *_operations(read),
    ]
    parts += ["## Problems", "Refusals are `application/problem+json` with one of these types:"]
    kinds = {(status, name): title for status, name, title in (kind.value for kind in (*Kind, *ReadingKind))}
    titles = [[str(status), code(f"urn:cloudscale:problem:{name}"), title] for (status, name), title in kinds.items()]
    parts.append(table(["Status", "Type", "Title"], sorted(titles)))
    parts.append("## Objects")
    for name, schema in (document["components"]["schemas"] | read["components"]["schemas"]).items():
        if "properties" in schema:
            parts += [f"### {name}", schema.get("description", ""), _members(schema)]
    return page("HTTP API", *(part for part in parts if part))


def _operations(document: dict[str, Any]) -> list[str]:
    """A section for each operation of a description."""
    parts = []
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            parts += [f"## {method.upper()} {path}", operation["summary"] + "."]
            if "requestBody" in operation:
                kinds = operation["requestBody"]["content"]
                parts.append("Content types: " + ", ".join(code(kind) for kind in kinds) + ".")
            parts += [_parameter(parameter) for parameter in operation.get("parameters", [])]
            rows = [[status, answer["description"]] for status, answer in operation["responses"].items()]
            parts.append(table(["Status", "Meaning"], sorted(rows)))
    return parts


def _parameter(parameter: dict[str, Any]) -> str:
    if parameter["in"] == "header":
        pattern = code(parameter["schema"]["pattern"])
        return f"Header `{parameter['name']}`, optional, of the form {pattern}. {parameter['description']}"
    place = "Parameter" if parameter["in"] == "query" else "Part of the path"
    return f"{place} `{parameter['name']}`: {_kind(parameter['schema'])}. {parameter['description']}"


def _members(schema: Schema) -> str:
    required = set(schema.get("required", []))
    rows = [
        [code(name), _kind(member), "yes" if name in required else "no", member.get("description", "")]
        for name, member in schema["properties"].items()
    ]
    return table(["Member", "Type and range", "Required", "Meaning"], rows)


def _kind(member: Schema) -> str:
    if "$ref" in member:
        return str(member["$ref"]).rpartition("/")[2]
    if "anyOf" in member:
        return " or ".join(_kind(option) for option in member["anyOf"])
    if "enum" in member:
        return "one of " + ", ".join(code(value) for value in member["enum"])
    if member.get("type") == "array":
        return f"list of {_kind(member.get('items', {}))}"
    bounds = [
        f"{word} {member[keyword]:,}"
        for keyword, word in (
            ("minimum", "from"),
            ("exclusiveMinimum", "above"),
            ("maximum", "to"),
            ("minLength", "characters from"),
            ("maxLength", "characters to"),
        )
        if keyword in member
    ]
    return ", ".join([str(member.get("type", member.get("const", "any"))), *bounds])
