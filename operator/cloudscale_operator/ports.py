"""TCP ports that addresses name, for the NetworkPolicies to let out."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

SCHEME_PORTS = {"http": 80, "https": 443, "sb": 5671, "redis": 6379, "rediss": 6379}

_URL = re.compile(r"[a-z]+://[^;\s]+", re.IGNORECASE)


def named_ports(text: str) -> set[int]:
    """The ports of a URL, or of all URLs in a connection string: those that they give, or else their schemes'."""
    return {port for url in _URL.findall(text) if (port := _port(url))}


def _port(url: str) -> int | None:
    try:
        parts = urlsplit(url)
        return parts.port or SCHEME_PORTS.get(parts.scheme)
    except ValueError:
        # The service that uses the address says what is wrong with it.
        return None
