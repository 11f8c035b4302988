"""Values of Cosmos SQL: their types, when they are equal, and how they are ordered.

A value is what JSON decodes to, or ``UNDEFINED``. All numbers are doubles in the service; whole numbers that a document
brings stay as they are written, and what is computed becomes a double as soon as a double cannot hold it exactly.
"""

import json
import math
from collections.abc import Hashable
from typing import Any, Final

import msgspec

from cloudscale.emulators.cosmos.query.ast import UNDEFINED, Undefined

# A result that grows beyond what any document may hold is undefined.
MAXIMUM_TEXT_CHARACTERS: Final = 4 * 1024 * 1024
# A double has no more before its point.
MAXIMUM_INTEGER_DIGITS: Final = 308
LARGEST_EXACT_INTEGER: Final = 2**53

NOTHING, NULL, BOOLEAN, NUMBER, TEXT, ARRAY, OBJECT = range(7)
# The order of types in ORDER BY.
_RANKS: Final[dict[type, int]] = {
    Undefined: NOTHING,
    type(None): NULL,
    bool: BOOLEAN,
    int: NUMBER,
    float: NUMBER,
    str: TEXT,
    list: ARRAY,
    dict: OBJECT,
}

SortKey = tuple[int, Any]


def rank(value: Any) -> int:
    """The place of the value's type in ORDER BY, which tells types apart."""
    return _RANKS[type(value)]


def is_number(value: Any) -> bool:
    """Whether this is a number; booleans are none."""
    return _RANKS[type(value)] == NUMBER


def number(value: float) -> Any:
    """A computed number as the service answers it: a whole one without a fraction, undefined when it is no number."""
    if type(value) is float:
        if not math.isfinite(value):
            return UNDEFINED
        # Minus zero stays a double.
        if value.is_integer() and abs(value) <= LARGEST_EXACT_INTEGER and (value or math.copysign(1.0, value) > 0):
            return int(value)
        return value
    if -LARGEST_EXACT_INTEGER <= value <= LARGEST_EXACT_INTEGER:
        return value
    try:
        return float(value)
    except OverflowError:
        return UNDEFINED


def equal(left: Any, right: Any) -> Any:
    """Equality: undefined if a side is, false for values of different types."""
    kind = _RANKS[type(left)]
    other = _RANKS[type(right)]
    if NOTHING in (kind, other):
        return UNDEFINED
    if kind != other:
        return False
    if kind < ARRAY:
        return left == right
    if len(left) != len(right):
        return False
    if kind == ARRAY:
        return all(equal(mine, other) for mine, other in zip(left, right, strict=True))
    return all(name in right and equal(value, right[name]) for name, value in left.items())


def compare(left: Any, right: Any) -> int | None:
    """-1, 0 or 1; None unless both are of one type that has an order."""
    kind = _RANKS[type(left)]
    if kind != _RANKS[type(right)] or kind in (NOTHING, ARRAY, OBJECT):
        return None
    if kind == NULL:
        return 0
    return int(left > right) - int(left < right)


def identity(value: Any) -> Hashable:
    """What values have in common exactly when they are equal."""
    kind = _RANKS[type(value)]
    if kind in (NUMBER, TEXT):
        return value  # type: ignore[no-any-return]
    if kind == ARRAY:
        return ARRAY, tuple(map(identity, value))
    if kind == OBJECT:
        return OBJECT, frozenset((name, identity(member)) for name, member in value.items())
    return kind, value if kind == BOOLEAN else None


def sort_key(value: Any) -> SortKey:
    """What ORDER BY compares: undefined, null, booleans, numbers, strings, arrays and objects, in this order."""
    kind = _RANKS[type(value)]
    if kind in (BOOLEAN, NUMBER, TEXT):
        return kind, value
    return kind, msgspec.json.encode(value, order="deterministic").decode() if kind >= ARRAY else 0


def encode(value: Any) -> bytes:
    """The JSON text of a value."""
    try:
        return msgspec.json.encode(value)
    except OverflowError:
        # Whole numbers of more than 64 bits.
        return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def to_text(value: Any) -> Any:
    """``ToString``: strings as they are, everything else as JSON text."""
    if value is UNDEFINED or isinstance(value, str):
        return value
    plain = number(value) if is_number(value) and isinstance(value, float) else value
    return encode(plain).decode()


def decode_document(decoder: msgspec.json.Decoder[Any], text: bytes | str) -> dict[str, Any]:
    """A stored document. Numbers beyond a double, which older stores may hold, become the largest double."""
    try:
        document: dict[str, Any] = decoder.decode(text)
    except (msgspec.DecodeError, ValueError):
        document = json.loads(text, parse_float=_bounded, parse_int=_bounded_integer)
    return document


def _bounded_integer(text: str) -> float:
    return int(text) if len(text) <= MAXIMUM_INTEGER_DIGITS else _bounded(text)


def _bounded(text: str) -> float:
    value = float(text)
    return math.copysign(min(abs(value), float.fromhex("0x1.fffffffffffffp+1023")), value)
