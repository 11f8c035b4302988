"""JSON as clients write it (RFC 8259): decoded so that nothing of it is lost without a word."""

from __future__ import annotations

import json
import math
import re
from itertools import islice, pairwise
from typing import TYPE_CHECKING, Any

import msgspec

from cloudscale.events.checking import MAXIMUM_DEPTH, FieldError, InvalidEventError, escape
from cloudscale.untrusted_json import repeated_field

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

BYTE_ORDER_MARK = b"\xef\xbb\xbf"

MAXIMUM_BATCH_TOKENS = 100_000
"""Brackets, braces, commas and strings that are looked at to find where the elements of a broken array begin: what a
batch of a thousand events of usual size has, and some 0.1 s of work at the most."""

MOST_NUMBERS = 100
"""Of one event that are named because they are too large."""


def decode(body: bytes) -> Any:
    """Decode JSON that a client sent.

    Raises:
        InvalidEventError: it is not JSON, not UTF-8, nested too deep, or an object has a key twice.
    """
    try:
        value = _decode(body)
    except msgspec.ValidationError:
        # Of any JSON value the decoder refuses only numbers, and does not say whose they are.
        raise InvalidEventError(*_numbers_beyond_doubles(body)) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidEventError(FieldError("", _describe(error, body))) from None
    except RecursionError:
        raise InvalidEventError(FieldError("", f"nested deeper than {MAXIMUM_DEPTH} levels")) from None
    # Where no colon follows white space, each key ends in quote and colon, and strings can only add more such pairs:
    # equal counts then prove that no key was dropped as a duplicate.
    if body.count(b'":') != _keys_of(value, 0) or _SPACED_COLON(body):
        _refuse_duplicate_keys(body)
    return value


def split_array(body: bytes) -> list[bytes]:
    """The elements of a JSON array, as they stand there: each is decoded by itself, so that one spoils no other.

    That holds for an element that is no valid JSON as well, as long as it is clear where it ends.

    Raises:
        InvalidEventError: it is not a JSON array.
    """
    try:
        return [bytes(element) for element in _decode_array(body)]
    except msgspec.ValidationError:
        wrong = "a batch is a JSON array of events, or one event a line as NDJSON"
        raise InvalidEventError(FieldError("", wrong)) from None
    except (msgspec.DecodeError, RecursionError) as error:
        elements = _split_by_brackets(body)
        if elements is not None:
            return elements
        deep = isinstance(error, RecursionError)
        wrong = f"nested deeper than {MAXIMUM_DEPTH} levels" if deep else _describe(error, body)
        raise InvalidEventError(FieldError("", wrong)) from None


_decode = msgspec.json.Decoder().decode
_decode_array = msgspec.json.Decoder(list[msgspec.Raw]).decode
_SPACED_COLON = re.compile(rb"[ \t\n\r]:").search
_WHITE_SPACE = b" \t\n\r"
_TOKEN = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|["\[\]{},]', re.DOTALL)
_OPENING = {b"]": b"[", b"}": b"{"}

_POSITION = re.compile(r"\(byte ([0-9]+)\)").search
_NEAR_BYTES = 16
"""Two escapes, and some. Without a position the decoder has met the end while it looked for the second one."""

# An escape counts only behind an even number of backslashes. The code units of a pair are told apart by their first
# hexadecimal digits: D8 to DB is the high half, DC to DF the low one (RFC 8259, sections 7 and 8.2).
_HALF_OF_A_PAIR = re.compile(
    rb"(?<!\\)(?:\\\\)*+(?:"
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F][0-9a-fA-F]{2})"
    rb"|(?<!\\u[dD][89abAB][0-9a-fA-F]{2})\\u[dD][c-fC-F][0-9a-fA-F]{2})"
).search


def _numbers_beyond_doubles(body: bytes) -> list[FieldError]:
    wrong = "is a number beyond the range of 64-bit floating point, about 1.8e308"
    try:
        value = json.loads(body, parse_int=float)
    except (ValueError, RecursionError):
        # It is no JSON for another reason as well, behind that number.
        return [FieldError("", f"not valid JSON: it {wrong.replace('is', 'has', 1)}")]
    return [FieldError(pointer, wrong) for pointer in islice(_pointers_of_infinity(value, ""), MOST_NUMBERS)]


def _pointers_of_infinity(value: object, pointer: str) -> Iterator[str]:
    if isinstance(value, float) and math.isinf(value):
        yield pointer
    elif isinstance(value, dict | list):
        for name, each in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _pointers_of_infinity(each, f"{pointer}/{escape(str(name))}")


def _describe(error: Exception, body: bytes) -> str:
    if not body.strip(_WHITE_SPACE):
        return "not valid JSON: the body is empty"
    at = _POSITION(str(error))
    position = int(at[1]) if at is not None else len(body)
    half = _HALF_OF_A_PAIR(body[max(0, position - _NEAR_BYTES) : position + _NEAR_BYTES])
    if half is not None:
        escape = half[0][-6:].decode()
        return f"{escape} is half of a surrogate pair: a character beyond U+FFFF is two escapes, the high one first"
    if isinstance(error, UnicodeDecodeError):
        return "not valid JSON: it has bytes that are not UTF-8"
    if at is None:
        return "not valid JSON: it ends within a value, so a bracket, a brace or a quote is missing"
    return f"not valid JSON: {_what_is_wrong(str(error))} at byte {position}"


def _what_is_wrong(message: str) -> str:
    """The decoder's own words, without those around them."""
    return message.removeprefix("JSON is malformed: ").partition(" (byte ")[0]


def _split_by_brackets(body: bytes) -> list[bytes] | None:
    """The elements of an array, found by its brackets, commas and strings alone; None where that is not possible."""
    spans = _outermost(body)
    if not spans or body[: spans[0][0]].strip(_WHITE_SPACE) or body[spans[-1][1] :].strip(_WHITE_SPACE):
        return None
    elements = [body[end:begin].strip(_WHITE_SPACE) for (_, end), (begin, _) in pairwise(spans)]
    return elements if all(elements) else None


def _outermost(body: bytes) -> list[tuple[int, int]] | None:
    """Where the array's own brackets and commas are; None when brackets do not match, or a string never ends."""
    spans: list[tuple[int, int]] = []
    open_brackets: list[bytes] = []
    for count, token in enumerate(_TOKEN.finditer(body)):
        what = token[0]
        if count == MAXIMUM_BATCH_TOKENS or what == b'"' or (not open_brackets and (spans or what != b"[")):
            return None
        depth = len(open_brackets)
        if what in _OPENING.values():
            open_brackets.append(what)
        elif what in _OPENING:
            depth -= 1
            if open_brackets.pop() != _OPENING[what]:
                return None
        elif what != b",":
            continue
        if depth == (what == b","):
            spans.append(token.span())
    return None if open_brackets else spans


def _keys_of(value: object, depth: int) -> int:
    if depth > MAXIMUM_DEPTH:
        raise InvalidEventError(FieldError("", f"nested deeper than {MAXIMUM_DEPTH} levels"))
    members: Iterable[object]
    if type(value) is dict:
        keys, members = len(value), value.values()
    elif type(value) is list:
        keys, members = 0, value
    else:
        return 0
    for each in members:
        kind = type(each)
        if kind is dict or kind is list:
            keys += _keys_of(each, depth + 1)
    return keys


def _refuse_duplicate_keys(body: bytes) -> None:
    repeated = repeated_field(body)
    if repeated is not None:
        raise InvalidEventError(FieldError("", f"the key {repeated[:64]!r} stands twice in one object"))
