"""What a cursor is written as: bytes in the characters that a query string has as they are (RFC 4648, section 5)."""

from __future__ import annotations

import base64
import re
from typing import Final

_TEXT: Final = re.compile(r"[A-Za-z0-9_-]+")


def write_opaque(content: bytes) -> str:
    """The content as text without padding."""
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


def read_opaque(text: str, *, most_characters: int) -> bytes:
    """The content of a text that :func:`write_opaque` may have written.

    Raises:
        ValueError: it has not.
    """
    if len(text) > most_characters or _TEXT.fullmatch(text) is None:
        raise ValueError("this is no opaque text")
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
