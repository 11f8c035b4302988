"""The resource's schema, generated from its models: no references, a default at every level, rules in place.

It is JSON Schema with the API server's ``x-kubernetes-`` keywords; ``cloudscale.pipeline.crd`` turns it into the
CustomResourceDefinition and :mod:`cloudscale.pipeline.validation` validates with it where there is no API server.
Optional fields are absent rather than null, as in the Kubernetes API.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import msgspec

from cloudscale.pipeline.fields import Model
from cloudscale.pipeline.spec import EventPipeline, Metadata

if TYPE_CHECKING:
    from msgspec.structs import FieldInfo

Schema = dict[str, Any]


@cache
def pipeline_schema() -> Schema:
    """The schema of a whole EventPipeline document. It is shared: copy it before changing it."""
    _, components = msgspec.json.schema_components([EventPipeline], ref_template="{name}")
    structs: list[type[msgspec.Struct]] = [EventPipeline, Metadata, *Model.__subclasses__()]
    models = {struct.__name__: struct for struct in structs}

    def inline(node: Schema) -> Schema:
        node = dict(node)
        if "anyOf" in node:  # `X | None`: the field may be left out
            (node,) = [option | node for option in node.pop("anyOf") if option != {"type": "null"}]
            del node["default"]
        if "$ref" in node:
            name = node.pop("$ref")
            node = components[name] | node
            node["properties"] = {
                field.encode_name: inline(node["properties"][field.encode_name]) | _default(field)
                for field in msgspec.structs.fields(models[name])
            }
            node["additionalProperties"] = name == "Metadata"
        elif isinstance(node.get("additionalProperties"), dict):
            node["additionalProperties"] = inline(node["additionalProperties"])
        if "items" in node:
            node["items"] = inline(node["items"])
        node.pop("title", None)
        if not node.get("required", True):
            del node["required"]
        return node

    schema = inline({"$ref": "EventPipeline"})
    # A document that was read from the API server has a status, and that is the operator's to check.
    schema["properties"]["status"] = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    return schema


def _default(field: FieldInfo) -> Schema:
    if field.default_factory is not msgspec.NODEFAULT:
        return {"default": as_builtins(field.default_factory())}
    if field.default is msgspec.NODEFAULT or field.default is None:
        return {}
    return {"default": as_builtins(field.default)}


def as_builtins(model: object) -> Any:
    """Plain JSON of a model or a part of one, optional fields that are not given left out."""
    return without_nulls(msgspec.to_builtins(model))


def without_nulls(value: Any) -> Any:
    """The value less the members that are null: the API server prunes them, too, where a schema names the fields."""
    if isinstance(value, dict):
        return {key: without_nulls(member) for key, member in value.items() if member is not None}
    if isinstance(value, list | tuple):
        return [without_nulls(item) for item in value]
    return value
