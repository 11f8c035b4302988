"""Decodes JSON that anybody may have written: whatever is wrong with it is one error.

The decoder itself has three: one for what is no JSON, one for text that is no UTF-8, and, when thousands of brackets
are open, the interpreter's for too deep a recursion. A reader that forgets one of them ends at a single bad message.
"""

from __future__ import annotations

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
