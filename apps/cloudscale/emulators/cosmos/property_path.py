"""Paths of properties, such as ``/address/city`` or ``/"le/vel"``, and the names that the service keeps for itself."""

import re
from typing import Final

SYSTEM_PROPERTIES: Final = ("_rid", "_self", "_etag", "_attachments", "_ts", "_lsn")
_SEGMENT: Final = re.compile(r"""/(?:"((?:[^"\\]|\\.)*)"|'((?:[^'\\]|\\.)*)'|([^/]*))""")


def segments(path: str) -> tuple[str, ...]:
    """The names along a path; a name in quotes may hold slashes."""
    return tuple("".join(names) for names in _SEGMENT.findall(path) if any(names))
