"""Says in plain words what is wrong with an event by the JSON Schema that a resource has for its type."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from cloudscale.events.checking import FieldError, escape
from cloudscale.events.wrong_values import kind_of

if TYPE_CHECKING:
    from collections.abc import Callable

    import jsonschema_rs

LONGEST_MESSAGE_CHARACTERS = 300
MOST_NAMES = 20

_TYPES: Final = {
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "object": "an object",
    "array": "an array",
    "null": "null",
}

_SAYINGS: Final[dict[str, Callable[[Any], str]]] = {
    "additionalProperties": lambda names: f"must not have {_listed(names)}",
    "anyOf": lambda _: "is none of the forms that the schema allows",
    "const": lambda value: f"must be {json.dumps(value)}",
    "enum": lambda values: f"must be one of {_listed(values)}",
    "exclusiveMaximum": lambda limit: f"must be less than {limit}",
    "exclusiveMinimum": lambda limit: f"must be more than {limit}",
    "falseSchema": lambda _: "has what the schema does not allow here",
    "format": lambda name: f"must be of the format {name}",
    "maxItems": lambda limit: f"must have at most {limit} items",
    "maxLength": lambda limit: f"must have at most {limit} characters",
    "maxProperties": lambda limit: f"must have at most {limit} entries",
    "maximum": lambda limit: f"must be at most {limit}",
    "minItems": lambda limit: f"must have at least {limit} items",
    "minLength": lambda limit: f"must have at least {limit} characters",
    "minProperties": lambda limit: f"must have at least {limit} entries",
    "minimum": lambda limit: f"must be at least {limit}",
    "multipleOf": lambda step: f"must be a multiple of {step}",
    "not": lambda _: "has a form that the schema does not allow",
    "oneOf": lambda _: "must have exactly one of the forms that the schema allows",
    "pattern": lambda pattern: f"must match the pattern {pattern} of the schema",
    "required": lambda name: f"must have {json.dumps(name)}, which is required",
    "unevaluatedProperties": lambda names: f"must not have {_listed(names)}",
    "uniqueItems": lambda _: "must not have the same item twice",
}


def explain_by_schema(error: jsonschema_rs.ValidationError) -> FieldError:
    """One error that a schema has found, with the pointer of the value that it is about."""
    pointer = "".join(f"/{escape(str(part))}" for part in error.instance_path)
    return FieldError(pointer, _message_of(error)[:LONGEST_MESSAGE_CHARACTERS])


def _message_of(error: jsonschema_rs.ValidationError) -> str:
    keyword, value = error.kind.name, error.kind.value
    if keyword == "type":
        kinds = " or ".join(_TYPES.get(name, name) for name in value)
        given = error.instance if isinstance(error.instance, float) else kind_of(error.instance)
        return f"must be {kinds}, not {given}"
    say = _SAYINGS.get(keyword)
    return error.message if say is None else say(value)


def _listed(values: list[object]) -> str:
    more = ", ..." if len(values) > MOST_NAMES else ""
    return ", ".join(json.dumps(value) for value in values[:MOST_NAMES]) + more
