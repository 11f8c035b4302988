"""Who uses the command line."""

from __future__ import annotations

import getpass
import os
import socket


def whoever_calls() -> str:
    """The user and the host, as the audit record names who used the command line."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        # A container's user may have a number only.
        user = f"user {os.getuid()}"
    return f"{user} on {socket.gethostname()} (command line)"
