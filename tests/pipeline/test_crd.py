"""The CustomResourceDefinition: generated, structural, and the same as the one checked in."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema_rs
import pytest
import yaml

from cloudscale.pipeline import as_document, load
from cloudscale.pipeline.crd import custom_resource_definition, render, status_schema, structural_schema
from cloudscale.pipeline.json_schemas import DRAFT, REFUSED_KEYWORDS

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
VERSION = custom_resource_definition()["spec"]["versions"][0]

Node = tuple[str, dict[str, Any]]


def nodes(path: str, schema: dict[str, Any]) -> Iterator[Node]:
    yield path, schema
    for name, field in schema.get("properties", {}).items():
        yield from nodes(f"{path}.{name}", field)
    for keyword in ("items", "additionalProperties"):
        if keyword in schema:
            yield from nodes(f"{path}[]", schema[keyword])


NODES = list(nodes("", structural_schema()))


def test_the_checked_in_file_is_what_the_models_say() -> None:
    assert (ROOT / "crds" / "eventpipelines.yaml").read_text() == render()


def test_the_file_is_read_back_as_the_manifest() -> None:
    assert yaml.safe_load(render()) == custom_resource_definition()


def test_every_node_has_a_type() -> None:
    assert [path for path, node in NODES if "type" not in node] == []


def test_maps_and_objects_are_told_apart() -> None:
    assert [path for path, node in NODES if "properties" in node and "additionalProperties" in node] == []


@pytest.mark.parametrize("keyword", ["$ref", "anyOf", "title", "allOf", "oneOf"])
def test_no_keyword_that_a_structural_schema_forbids_is_left(keyword: str) -> None:
    assert [path for path, node in NODES if keyword in node] == []


def test_every_field_reads_like_documentation() -> None:
    fields = [(path, node) for path, node in NODES if path.startswith((".spec", ".status")) and not path.endswith("[]")]
    assert [path for path, node in fields if not node.get("description", "").endswith(".")] == []


def test_everything_that_a_rule_reads_is_bounded() -> None:
    """The API server estimates a rule's cost from these bounds and refuses the CRD when one is missing."""
    unbounded = [
        path
        for path, node in NODES
        if path.startswith(".spec")
        and "x-kubernetes-preserve-unknown-fields" not in node
        and (
            (node["type"] == "array" and "maxItems" not in node)
            or ("additionalProperties" in node and "maxProperties" not in node)
            or (node["type"] == "string" and not {"maxLength", "enum"} & set(node))
        )
    ]
    assert unbounded == []


def test_defaults_stand_at_every_level() -> None:
    spec = structural_schema()["properties"]["spec"]
    assert spec["default"] == as_document(load(_document()))["spec"]
    assert spec["properties"]["queue"]["properties"]["name"]["default"] == "events-ingestion"


@pytest.mark.parametrize("section", ["queue", "store"])
def test_the_way_to_a_backend_has_no_default(section: str) -> None:
    field = structural_schema()["properties"]["spec"]["properties"][section]["properties"]["connectionSecretRef"]
    assert "default" not in field


@pytest.mark.parametrize("path", ["queue.name", "store.database", "store.container", "store.partitionBuckets"])
def test_what_names_the_data_is_immutable(path: str) -> None:
    field = structural_schema()["properties"]["spec"]
    for name in path.split("."):
        field = field["properties"][name]
    assert [rule["rule"] for rule in field["x-kubernetes-validations"]] == ["self == oldSelf"]


@pytest.mark.parametrize(
    ("schema", "is_taken"),
    [
        ({"$ref": "file:///etc/passwd"}, False),
        ({"$ref": "http://127.0.0.1:8080/healthz"}, False),
        ({"$ref": "#"}, False),
        ({"$ref": 1}, False),
        *(({keyword: "http://example.com/"}, False) for keyword in REFUSED_KEYWORDS),
        ({"$schema": "http://json-schema.org/draft-04/schema#", "exclusiveMinimum": True}, False),
        ({"$schema": DRAFT, "$defs": {"a": {"type": "object"}}, "$ref": "#/$defs/a"}, True),
        ({"$ref": "#/definitions/a~1b", "definitions": {"a/b": True}}, True),
        ({"properties": {"$id": {"const": "http://example.com/"}}, "x-ours": [1]}, True),
    ],
)
def test_the_api_server_takes_no_schema_whose_root_leads_outside(schema: dict[str, Any], *, is_taken: bool) -> None:
    event_types = structural_schema()["properties"]["spec"]["properties"]["eventTypes"]
    validator = jsonschema_rs.validator_for(event_types["items"]["properties"]["schema"])
    assert validator.is_valid(schema) is is_taken


def test_columns_show_what_an_operator_looks_for() -> None:
    names = [column["name"] for column in VERSION["additionalPrinterColumns"]]
    assert names == ["Ready", "Phase", "Depth", "DLQ", "Workers", "Concurrency", "Age"]


def test_status_and_scale_are_subresources() -> None:
    assert set(VERSION["subresources"]) == {"status", "scale"}


def test_a_full_status_meets_the_schema() -> None:
    condition = {
        "type": "Ready",
        "status": "True",
        "observedGeneration": 1,
        "lastTransitionTime": "2026-01-01T00:00:00Z",
        "reason": "AllAvailable",
        "message": "",
    }
    status = {"phase": "Ready", "conditions": [condition], "queueDepth": 0, "replicas": {"workers": 1}}
    jsonschema_rs.validator_for(status_schema()).validate(status)


def _document() -> dict[str, Any]:
    return {"apiVersion": "cloudscale.io/v1alpha1", "kind": "EventPipeline", "metadata": {"name": "example"}}
