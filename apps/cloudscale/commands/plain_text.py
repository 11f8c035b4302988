"""Text that others have written, as a terminal may show it."""

from __future__ import annotations


def plain(text: str) -> str:
    """The text with an escape for what moves the cursor, changes the direction or cannot be seen."""
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)
