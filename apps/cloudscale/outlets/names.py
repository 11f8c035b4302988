"""How the leases and figures of an outlet are called."""

from __future__ import annotations


def follower_name(outlet: str) -> str:
    """The outlet's name among the followers of the store, which its leases have."""
    return f"outlet-{outlet}"
