"""Access tokens for the tests: one for each kind of viewer."""

from __future__ import annotations

from typing import Any

OWNER = "owner-0123456789abcdef"
READER = "reader-0123456789abcdef"
CONTOSO = "contoso-0123456789abcdef"

TOKENS: list[dict[str, Any]] = [
    {"token": OWNER, "name": "owner", "act": True},
    {"token": READER, "name": "reader"},
    {"token": CONTOSO, "name": "contoso", "tenants": ["contoso"], "act": True},
]
