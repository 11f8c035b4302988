"""The JSON Schema of an event type: what may stand in it, and its compiled form.

A schema is written by whoever writes the resource, and compiled in the operator, in ingestion and in the workers. So it
is closed in itself: nothing is fetched because it names it. And the work of checking an event by it is bounded:
references are counted as if they were written out, recursion is refused, and patterns are matched by an engine that
takes linear time.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import jsonschema_rs
import msgspec

from cloudscale.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator

DRAFT = "https://json-schema.org/draft/2020-12/schema"

LARGEST_BYTES = 64 * 1024
DEEPEST_LEVELS = 64
MOST_SUBSCHEMAS = 1000
MOST_REPEATED_SUBSCHEMAS = 200
"""Of the subschemas that apply to every item of an array or to every member of an object."""
FRACTION_SUBSCHEMAS = 100
"""What a ``multipleOf`` of a fraction counts for: it is computed exactly, with numbers as long as a client likes."""
SMALLEST_FRACTION = 1e-9
MOST_PATTERNS = 100
LARGEST_PATTERN_BYTES = 256 * 1024
"""Of a pattern once it is compiled."""

_ONE = ("not", "if", "then", "else", "contentSchema")
_ONE_FOR_EACH = (
    *("items", "additionalProperties", "contains", "propertyNames"),
    *("unevaluatedItems", "unevaluatedProperties"),
)
_MANY = ("allOf", "anyOf", "oneOf", "prefixItems")
_NAMED = ("properties", "dependentSchemas")
_NAMED_FOR_EACH = ("patternProperties",)
_DEFINITIONS = ("$defs", "definitions")
_UNEVALUATED = ("unevaluatedItems", "unevaluatedProperties")
REFERENCE_PATTERN = r"^#/(\$defs|definitions)/[^/]+$"
REFUSED_KEYWORDS = {
    "$id": "a schema stands for itself, so it needs no address",
    "$anchor": "refer to a definition by #/$defs/NAME",
    "$dynamicAnchor": "refer to a definition by #/$defs/NAME",
    "$dynamicRef": "refer to a definition by $ref: #/$defs/NAME",
    "$recursiveAnchor": "refer to a definition by #/$defs/NAME",
    "$recursiveRef": "refer to a definition by $ref: #/$defs/NAME",
    "$vocabulary": "the vocabularies are those of draft 2020-12",
}


class UnusableSchemaError(ConfigurationError):
    """A JSON Schema that cannot be used; the message says where in it and why."""


@dataclass(frozen=True)
class _Weight:
    """How many subschemas there are with all references written out, and how many of them apply to each of many."""

    all: int
    repeated: int
    patterns: int
    has_unevaluated: bool = False
    """Whether one of them asks what the others have evaluated."""

    def __add__(self, other: _Weight) -> _Weight:
        return _Weight(
            self.all + other.all,
            self.repeated + other.repeated,
            self.patterns + other.patterns,
            self.has_unevaluated or other.has_unevaluated,
        )


def compile_schema(schema: Any) -> jsonschema_rs.Validator:
    """The validator of a schema.

    Raises:
        UnusableSchemaError: it is no JSON Schema of draft 2020-12, refers to something outside of itself, or is too
            much work.
    """
    _check_size(schema)
    _Walk(schema).check()
    patterns = jsonschema_rs.RegexOptions(size_limit=LARGEST_PATTERN_BYTES, dfa_size_limit=LARGEST_PATTERN_BYTES)
    try:
        return jsonschema_rs.Draft202012Validator(schema, offline=True, pattern_options=patterns)
    except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError) as error:
        raise UnusableSchemaError(f"is not a JSON Schema: {getattr(error, 'message', str(error))[:300]}") from None
    except ValueError as error:
        raise UnusableSchemaError(f"is not a JSON Schema: {str(error)[:300]}") from None


def _check_size(schema: Any) -> None:
    try:
        size = len(msgspec.json.encode(schema))
    except RecursionError:
        raise UnusableSchemaError(f"is nested deeper than {DEEPEST_LEVELS} levels: write it flatter") from None
    except UnicodeEncodeError as error:
        lone = error.object[error.start : error.end]
        raise UnusableSchemaError(f"has half of a surrogate pair ({lone!r}), which is no text: write it out") from None
    if size > LARGEST_BYTES:
        raise UnusableSchemaError(f"has {size} bytes: {LARGEST_BYTES} are the most")
    level = [schema]
    for _ in range(DEEPEST_LEVELS):
        level = [member for value in level for member in _members(value)]
        if not level:
            return
    raise UnusableSchemaError(f"is nested deeper than {DEEPEST_LEVELS} levels: write it flatter")


def _members(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        yield from value.values()
    elif isinstance(value, list):
        yield from value


class _Walk:
    """Goes through the subschemas of one schema, each once however often it is referred to."""

    def __init__(self, schema: Any) -> None:
        self._schema = schema
        self._weights: dict[int, _Weight] = {}
        self._entered: set[int] = set()

    def check(self) -> None:
        """Look at everything that may be evaluated, and at what is only defined.

        Raises:
            UnusableSchemaError: one of them cannot be used, or all together are too much.
        """
        whole = self._weigh(self._schema, "")
        bounds = (
            (whole.all, MOST_SUBSCHEMAS, "subschemas"),
            (whole.repeated, MOST_REPEATED_SUBSCHEMAS, "subschemas for each item or member"),
            (whole.patterns, MOST_PATTERNS, "patterns"),
        )
        for count, most, what in bounds:
            if count > most:
                raise UnusableSchemaError(
                    f"has {count} {what} when its references are written out, {most} are the most: make it simpler"
                )

    def _weigh(self, schema: Any, where: str) -> _Weight:
        if not isinstance(schema, dict):
            return _Weight(1, 0, 0)
        known = self._weights.get(id(schema))
        if known is not None:
            return known
        if id(schema) in self._entered:
            raise UnusableSchemaError(f"{where or 'it'} refers to itself: write out as many levels as there can be")
        self._entered.add(id(schema))
        self._refuse_what_leads_outside(schema, where)
        weight = _Weight(_own_weight(schema, where), 0, int("pattern" in schema))
        for below, path, is_repeated in self._subschemas(schema, where):
            found = self._weigh(below, path)
            weight += replace(found, repeated=found.all) if is_repeated else found
        if any(name in schema for name in _UNEVALUATED):
            if weight.has_unevaluated:
                # Each level evaluates everything below it once more.
                raise UnusableSchemaError(f"{where or 'it'} has {' or '.join(_UNEVALUATED)} above another one: use one")
            weight = replace(weight, has_unevaluated=True)
        for name in _DEFINITIONS:
            for key, definition in _items(schema.get(name)):
                self._weigh(definition, f"{where}/{name}/{key}")
        self._weights[id(schema)] = weight
        return weight

    def _subschemas(self, schema: dict[str, Any], where: str) -> Iterator[tuple[Any, str, bool]]:
        """What is evaluated with a schema: the subschema, its path, and whether it applies to each of many values."""
        if "$ref" in schema:
            yield self._definition(schema["$ref"], where), f"{where}/$ref", False
        for name in (*_ONE, *_ONE_FOR_EACH):
            if name in schema:
                yield schema[name], f"{where}/{name}", name in _ONE_FOR_EACH
        for name in _MANY:
            for position, member in enumerate(_listed(schema.get(name))):
                yield member, f"{where}/{name}/{position}", False
        for name in (*_NAMED, *_NAMED_FOR_EACH):
            for key, member in _items(schema.get(name)):
                yield member, f"{where}/{name}/{key}", name in _NAMED_FOR_EACH

    def _definition(self, reference: Any, where: str) -> Any:
        parts = reference.split("/") if isinstance(reference, str) else []
        if len(parts) != 3 or parts[0] != "#" or parts[1] not in _DEFINITIONS:
            raise UnusableSchemaError(
                f"{where}/$ref is {str(reference)[:100]!r}: only #/$defs/NAME can be referred to, because nothing "
                "outside of the schema is ever read"
            )
        definitions = self._schema.get(parts[1])
        name = parts[2].replace("~1", "/").replace("~0", "~")
        if not isinstance(definitions, dict) or name not in definitions:
            raise UnusableSchemaError(f"{where}/$ref is {reference[:100]!r}, and there is no such definition")
        return definitions[name]

    def _refuse_what_leads_outside(self, schema: dict[str, Any], where: str) -> None:
        for name, advice in REFUSED_KEYWORDS.items():
            if name in schema:
                raise UnusableSchemaError(f"{where}/{name} cannot be used: {advice}")
        draft = schema.get("$schema", DRAFT)
        if draft != DRAFT:
            raise UnusableSchemaError(f"{where}/$schema is {str(draft)[:100]!r}: leave it out, or write {DRAFT}")


def _own_weight(schema: dict[str, Any], where: str) -> int:
    """How many subschemas the keywords of one schema count for."""
    divisor = schema.get("multipleOf")
    if isinstance(divisor, bool) or not isinstance(divisor, int | float) or float(divisor).is_integer():
        return 1
    if divisor < SMALLEST_FRACTION:
        raise UnusableSchemaError(f"{where}/multipleOf is {divisor}: it has to be {SMALLEST_FRACTION} at least")
    return FRACTION_SUBSCHEMAS


def _items(value: Any) -> list[tuple[str, Any]]:
    return list(value.items()) if isinstance(value, dict) else []


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
