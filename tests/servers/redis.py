"""A Redis-compatible server as a process, for every test that needs a cache."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from redis import Redis
from redis.exceptions import RedisError
from tests.servers.process import AnsweringServer, running

from cloudscale.local.ports import find_free_ports
from cloudscale.local.redis_server import find_program

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@dataclass
class RedisServer(AnsweringServer):
    """A Redis that writes every change to its file."""

    port: int = 0

    @property
    def url(self) -> str:
        """What clients connect to."""
        return f"redis://127.0.0.1:{self.port}/0"

    def command(self) -> list[str]:
        """The server on its port, or on a free one."""
        if not self.port:
            (self.port,) = find_free_ports("127.0.0.1", 1)
        options = ["--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.directory)]
        return [str(find_program()), *options, "--appendonly", "yes", "--save", ""]

    def is_ready(self) -> bool:
        """Whether it answers a PING."""
        with Redis("127.0.0.1", port=self.port) as client:
            try:
                return bool(client.ping())
            except RedisError:
                return False


@contextmanager
def redis_server(directory: Path) -> Iterator[RedisServer]:
    """Run a server on a free port for as long as the context lasts."""
    with running(RedisServer(directory)) as server:
        yield server
