"""Says in plain words what is wrong with a value that a field does not take: what it must be, and what it is.

Nothing here runs for a value that is right: the conversion of an event finds that out, and much faster.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from msgspec import inspect

from cloudscale.events.checking import FieldError, escape

if TYPE_CHECKING:
    from collections.abc import Iterator

MOMENT = "must be a date and time with its offset from UTC, like 2026-01-31T12:00:00Z (RFC 3339)"

_NAMES: dict[type[inspect.Type], str] = {
    inspect.StrType: "text",
    inspect.LiteralType: "text",
    inspect.DateTimeType: "text",
    inspect.IntType: "a whole number",
    inspect.FloatType: "a number",
    inspect.DictType: "an object",
    inspect.NoneType: "null",
}


def kind_of(value: object) -> str:
    """What a JSON value is, as a client calls it."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return "text"
    if isinstance(value, int | float):
        return "a number"
    return "an object" if isinstance(value, dict) else "an array"


def explain(value: object, field_type: object, pointer: str) -> list[FieldError]:
    """What is wrong with a value that ``field_type``, a type with its constraints, does not take.

    ``pointer`` is the JSON pointer of the field that has the value.
    """
    return list(_problems_of(value, _type_of(field_type), pointer)) or [
        FieldError(pointer, "has a value that is wrong")
    ]


@cache
def _type_of(field_type: Any) -> inspect.Type:
    return inspect.type_info(field_type)


def _problems_of(value: object, wanted: inspect.Type, pointer: str) -> Iterator[FieldError]:
    options = wanted.types if isinstance(wanted, inspect.UnionType) else (wanted,)
    plain = [_without_description(option) for option in options]
    for option, description in plain:
        if _is_of(value, option):
            yield from _broken_bounds(value, option, pointer, description=description)
            return
    names = " or ".join(dict.fromkeys(_NAMES.get(type(option), "another value") for option, _ in plain))
    # A number with a fraction is of the right kind, and what is wrong with it is its fraction.
    given = f"{value}" if isinstance(value, float) else kind_of(value)
    yield FieldError(pointer, f"must be {names}, not {given}")


def _without_description(wanted: inspect.Type) -> tuple[inspect.Type, str]:
    if isinstance(wanted, inspect.Metadata):
        return wanted.type, str((wanted.extra_json_schema or {}).get("description", ""))
    return wanted, ""


def _is_of(value: object, wanted: inspect.Type) -> bool:
    match wanted:
        case inspect.StrType() | inspect.LiteralType() | inspect.DateTimeType():
            return isinstance(value, str)
        case inspect.IntType():
            return isinstance(value, int) and not isinstance(value, bool)
        case inspect.FloatType():
            return isinstance(value, int | float) and not isinstance(value, bool)
        case inspect.DictType():
            return isinstance(value, dict)
        case inspect.NoneType():
            return value is None
        case _:
            return False


def _broken_bounds(value: Any, wanted: inspect.Type, pointer: str, *, description: str) -> Iterator[FieldError]:
    """What is wrong with a value whose kind is right."""
    match wanted:
        case inspect.StrType():
            yield FieldError(pointer, _wrong_text(value, wanted, description=description))
        case inspect.DateTimeType():
            yield FieldError(pointer, MOMENT)
        case inspect.LiteralType(values=values):
            correct = value.strip().upper()
            known = description or f"must be one of {', '.join(map(str, values))}"
            yield FieldError(pointer, f"{known}: send {correct}" if correct in values else known)
        case inspect.IntType(ge=least, le=most) | inspect.FloatType(ge=least, le=most):
            yield FieldError(pointer, f"must be between {least:,.0f} and {most:,.0f}")
        case inspect.DictType():
            yield from _wrong_members(value, wanted, pointer)


def _wrong_text(value: str, wanted: inspect.StrType, *, description: str) -> str:
    if not value:
        return "must not be empty"
    if wanted.max_length is not None and len(value) > wanted.max_length:
        return f"has {len(value)} characters: at most {wanted.max_length} are allowed"
    return description or "has characters that are not allowed"


def _wrong_members(value: dict[str, object], wanted: inspect.DictType, pointer: str) -> Iterator[FieldError]:
    if wanted.max_length is not None and len(value) > wanted.max_length:
        yield FieldError(pointer, f"has {len(value)} entries: at most {wanted.max_length} are allowed")
    longest = wanted.key_type.max_length if isinstance(wanted.key_type, inspect.StrType) else None
    for name in value:
        if longest is not None and len(name) > longest:
            place = f"{pointer}/{escape(name)}" if len(name) < 2 * longest else pointer
            yield FieldError(place, f"has a key of {len(name)} characters: at most {longest} are allowed")
            return
