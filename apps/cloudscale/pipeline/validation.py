"""Everything that is wrong with a resource, at once, each problem with the path of its field.

Four passes, as in the API server: nulls are pruned, the schema is checked, defaults are filled in, and the rules over
several fields are evaluated. A value that breaks the schema is taken out before the rules are looked at, so that one
problem is not reported twice and does not hide the others.
"""

from __future__ import annotations

import difflib
import math
from functools import cache
from typing import TYPE_CHECKING, Any

import jsonschema_rs
from jsonschema_rs import ValidationErrorKind as Kind

from cloudscale.pipeline.json_schemas import UnusableSchemaError, compile_schema
from cloudscale.pipeline.rule_registry import RULES
from cloudscale.pipeline.rules import RULES_KEYWORD, is_satisfied
from cloudscale.pipeline.schema import Schema, pipeline_schema
from cloudscale.units import DURATION_PATTERN, QUANTITY_PATTERN

if TYPE_CHECKING:
    from collections.abc import Iterator

Path = tuple[str | int, ...]

# A schema can hold nothing but JSON, so a rule in it is found again by its CEL expression.
_BY_EXPRESSION = {rule.cel: rule for rule in RULES}

_FREE_FORM = "x-kubernetes-preserve-unknown-fields"
_PATTERN_HINTS = {
    DURATION_PATTERN: "is not a duration: write a number and a unit, like 500ms, 30s, 5m or 1h30m",
    QUANTITY_PATTERN: "is not a quantity: write a number and a unit, like 250m, 2, 512Mi or 5Gi",
}


def complete(document: Any) -> tuple[dict[str, Any], list[str]]:
    """The document with its defaults filled in, and one line for each problem (``spec.queue.name: …``).

    Only when there are no problems is the first part the whole document.
    """
    schema = pipeline_schema()
    problems: dict[Path, list[str]] = {}
    document = _pruned(document, schema)
    for path, message in _unreadable_numbers(document, ()):
        problems[path] = [message]
    document = _without(document, set(problems))
    for path, message in _structural_problems(document):
        problems.setdefault(path, []).append(message)
    broken = set(problems)
    document = _without(document, broken)
    if not isinstance(document, dict) or _structural_problems(document):
        # What is left when a required field is missing or the root is no object cannot be completed.
        return {}, _lines(problems)
    document = _defaulted(document, schema)
    for path, message in (*_broken_rules(document, schema, (), broken), *_broken_event_schemas(document)):
        problems.setdefault(path, []).append(message)
    return document, _lines(problems)


def format_path(path: Path) -> str:
    """``spec.eventTypes[0].name``, as the API server writes it."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return text.removeprefix(".") or "document"


def _lines(problems: dict[Path, list[str]]) -> list[str]:
    ordered = sorted(problems.items(), key=lambda problem: [str(part) for part in problem[0]])
    return [f"{format_path(path)}: {message}" for path, messages in ordered for message in messages]


def _pruned(value: Any, schema: Schema) -> Any:
    """The value without nulls where the schema names the fields, and with 2.0 as 2: JSON makes no difference."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if schema.get(_FREE_FORM):
        return value
    if isinstance(value, dict):
        named, other = schema.get("properties", {}), schema.get("additionalProperties")
        members = other if isinstance(other, dict) else {}
        return {
            key: _pruned(member, named.get(key, members))
            for key, member in value.items()
            if not (member is None and key in named)
        }
    if isinstance(value, list | tuple):
        return [_pruned(item, schema.get("items", {})) for item in value]
    return value


def _unreadable_numbers(value: Any, path: Path) -> Iterator[tuple[Path, str]]:
    if isinstance(value, float) and not math.isfinite(value):
        yield path, f"{value} is not a finite number"
    members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, member in members:
        yield from _unreadable_numbers(member, (*path, key))


@cache
def _validator() -> jsonschema_rs.Validator:
    return jsonschema_rs.validator_for(pipeline_schema())


def _structural_problems(document: Any) -> list[tuple[Path, str]]:
    return [problem for error in _validator().iter_errors(document) for problem in _explained(error)]


def _explained(error: jsonschema_rs.ValidationError) -> Iterator[tuple[Path, str]]:
    path: Path = tuple(error.instance_path)
    match error.kind:
        case Kind.AdditionalProperties(unexpected=names):
            for name in names:
                yield (*path, name), f"unknown field{_hint(name, path)}"
        case Kind.Required(property=name):
            yield (*path, name), "is required"
        case Kind.Pattern(pattern=pattern):
            yield path, f"{error.instance!r} {_PATTERN_HINTS.get(pattern, f'does not match {pattern}')}"
        case _:
            yield path, error.message


def _hint(name: str, path: Path) -> str:
    schema = pipeline_schema()
    for part in path:
        schema = schema["items"] if isinstance(part, int) else schema["properties"].get(part, {})
    known = list(schema.get("properties", ()))
    close = difflib.get_close_matches(name, known, n=1)
    return f", did you mean {close[0]}?" if close else f"; known here: {', '.join(known)}"


def _without(value: Any, broken: set[Path], path: Path = ()) -> Any:
    """The value less its broken members; a list with a broken item goes as a whole, for its positions have meaning."""
    if isinstance(value, dict):
        return {
            key: _without(member, broken, (*path, key))
            for key, member in value.items()
            if not _breaks((*path, key), member, broken)
        }
    return value


def _breaks(path: Path, member: Any, broken: set[Path]) -> bool:
    if path in broken:
        return True
    inside = [place for place in broken if place[: len(path)] == path]
    required_missing = any(len(place) == len(path) + 1 and place[-1] not in member for place in inside)
    return bool(inside) and (isinstance(member, list) or required_missing)


def _defaulted(value: Any, schema: Schema) -> Any:
    if isinstance(value, dict) and "properties" in schema:
        named = schema["properties"]
        given = {name: field["default"] for name, field in named.items() if "default" in field} | value
        return {key: _defaulted(member, named.get(key, {})) for key, member in given.items()}
    if isinstance(value, list):
        return [_defaulted(item, schema.get("items", {})) for item in value]
    return value


def _broken_rules(value: Any, schema: Schema, path: Path, broken: set[Path]) -> Iterator[tuple[Path, str]]:
    """Rules of this value and of all inside it; a rule over a value of which a part was taken out says nothing."""
    whole = not any(place[: len(path)] == path for place in broken)
    if whole:
        for rule in schema.get(RULES_KEYWORD, ()):
            if not is_satisfied(_BY_EXPRESSION[rule["rule"]], value):
                yield (*path, *rule.get("fieldPath", "").split(".")[1:]), rule["message"]
        yield from _repeated_items(value, schema, path)
    if isinstance(value, dict):
        other = schema.get("additionalProperties")
        members = other if isinstance(other, dict) else {}
        for key, member in value.items():
            yield from _broken_rules(member, schema.get("properties", {}).get(key, members), (*path, key), broken)
    elif isinstance(value, list):
        for position, item in enumerate(value):
            yield from _broken_rules(item, schema.get("items", {}), (*path, position), broken)


def _repeated_items(value: Any, schema: Schema, path: Path) -> Iterator[tuple[Path, str]]:
    keys = schema.get("x-kubernetes-list-map-keys")
    if keys is None and schema.get("x-kubernetes-list-type") != "set":
        return
    seen = set()
    for position, item in enumerate(value):
        identity = tuple(item[key] for key in keys) if keys else item
        if identity in seen:
            yield (*path, position), f"Duplicate value: {identity if keys is None else ', '.join(identity)}"
        seen.add(identity)


def _broken_event_schemas(document: dict[str, Any]) -> Iterator[tuple[Path, str]]:
    """Event types whose JSON Schema cannot be used: no schema of ours and no CEL rule can tell."""
    for position, event_type in enumerate(document["spec"]["eventTypes"]):
        try:
            compile_schema(event_type["schema"])
        except UnusableSchemaError as error:
            yield ("spec", "eventTypes", position, "schema"), str(error)
