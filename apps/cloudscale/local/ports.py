"""TCP ports for the processes of a local run."""

from __future__ import annotations

import random
import socket
from typing import TYPE_CHECKING

from cloudscale.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Collection

# Below the range that Linux takes outgoing ports from (32768 and up): a client that reconnects to a dead backend
# could otherwise be given the backend's own port as its source, connect to itself and keep the port taken.
_FIRST_PORT = 20_000
_LAST_PORT = 31_999
_TRIES = 200


def is_free(host: str, port: int) -> bool:
    """Whether a server could listen on ``host:port`` now."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        # Servers set this too: connections that wait in TIME_WAIT after a restart do not make a port busy.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def find_free_ports(host: str, count: int, *, besides: Collection[int] = ()) -> list[int]:
    """Different ports of ``host`` that are free now; none of ``besides``, which others are about to take.

    Raises:
        ConfigurationError: not enough of them were found.
    """
    found: list[int] = []
    for port in random.sample(range(_FIRST_PORT, _LAST_PORT + 1), _TRIES):
        if port not in besides and is_free(host, port):
            found.append(port)
        if len(found) == count:
            return found
    raise ConfigurationError(
        f"found only {len(found)} of {count} free TCP ports of {host} between {_FIRST_PORT} and {_LAST_PORT}: "
        "stop what listens there"
    )


def require_free(host: str, port: int, *, purpose: str, option: str) -> None:
    """Refuse a busy port before anything is started.

    Raises:
        ConfigurationError: ``host`` is not an address of this machine, or something listens on the port; the message
            names the option that changes it.
    """
    if not is_free(host, 0):
        raise ConfigurationError(f"{host} is not an address of this machine: give --host another one")
    if not is_free(host, port):
        raise ConfigurationError(
            f"port {port} of {host} is busy, {purpose} cannot listen there: choose another with {option}"
        )
