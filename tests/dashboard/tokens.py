"""Access tokens for the tests: one for each kind of viewer."""

from __future__ import annotations

from typing import Any

OWNER = "owner-0123456789abcdef"
READER = "reader-0123456789abcdef"
CONTOSO = "contoso-0123456789abcdef"
MANAGER = "manager-0123456789abcdef"
CONTOSO_MANAGER = "contoso-manager-0123456789abcdef"

TOKENS: list[dict[str, Any]] = [
    {"token": OWNER, "name": "owner", "act": True},
    {"token": READER, "name": "reader"},
    {"token": CONTOSO, "name": "contoso", "tenants": ["contoso"], "act": True},
    {"token": MANAGER, "name": "manager", "act": True, "manage": True},
    {"token": CONTOSO_MANAGER, "name": "contoso's", "tenants": ["contoso"], "act": True, "manage": True},
]
