"""What callers may be allowed to do."""

from __future__ import annotations

from enum import StrEnum


class Scope(StrEnum):
    """What a caller may do. Each stands for itself: ``admin`` alone does not allow to send events."""

    WRITE_EVENTS = "events:write"
    READ_EVENTS = "events:read"
    TENANT_ADMIN = "tenant:admin"
    """Keys and devices of the caller's own tenant."""
    ADMIN = "admin"
    """Tenants, and keys and devices of every tenant."""
