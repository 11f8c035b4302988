"""Decodes JSON that anybody may have written: whatever is wrong with it is one error.

The decoder itself has three: one for what is no JSON, one for text that is no UTF-8, and, when thousands of brackets
are open, the interpreter's for too deep a recursion. A reader that forgets one of them ends at a single bad message.
"""

from __future__ import annotations

import json
from typing import Any, TypeVar

import msgspec

from cloudscale.errors import CloudScaleError

Value = TypeVar("Value")

ANYTHING: msgspec.json.Decoder[Any] = msgspec.json.Decoder()


class UnreadableJsonError(CloudScaleError):
    """Bytes are not JSON, or not of the form that was wanted."""


def decode(body: bytes, decoder: msgspec.json.Decoder[Value]) -> Value:
    """The value that ``body`` is the JSON of, as ``decoder`` wants it.

    Raises:
        UnreadableJsonError: it cannot be read, or has another form; the message says where and why.
    """
    try:
        return decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UnreadableJsonError(str(error)) from None
    except RecursionError:
        raise UnreadableJsonError("it is nested too deep") from None


def decode_unambiguous(body: bytes, decoder: msgspec.json.Decoder[Value]) -> Value:
    """As :func:`decode`, of a body in which no object has a field twice: readers disagree which of the two counts.

    Raises:
        UnreadableJsonError: it cannot be read, has another form, or an object has a field twice.
    """
    value = decode(body, decoder)
    repeated = repeated_field(body)
    if repeated is not None:
        raise UnreadableJsonError(f"the field {repeated[:64]!r} stands twice in one object")
    return value


def repeated_field(body: bytes) -> str | None:
    """A field that some object of ``body``, which is JSON, has twice."""
    repeated: list[str] = []

    def note(pairs: list[tuple[str, object]]) -> None:
        seen = set()
        for name, _ in pairs:
            if name in seen:
                repeated.append(name)
            seen.add(name)

    # Only names matter, and long numbers are slow, or an error, to convert.
    json.loads(body, object_pairs_hook=note, parse_int=str, parse_float=str)
    return repeated[0] if repeated else None
