"""A Redis-compatible server as a process, for every test that needs a cache."""

from __future__ import annotations

import contextlib
import subprocess
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

from redis import Redis
from redis.exceptions import RedisError
from tests.waiting import wait_until_sync

from cloudscale.local.ports import find_free_ports
from cloudscale.local.redis_server import find_program

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

START_TIMEOUT = timedelta(seconds=90)


@dataclass
class RedisServer:
    """A running server. It keeps its port and its data when it is killed and started again."""

    data_directory: Path
    port: int = 0
    process: subprocess.Popen[bytes] = field(init=False)

    @property
    def url(self) -> str:
        """What clients connect to."""
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Start the process and wait until it answers."""
        if not self.port:
            (self.port,) = find_free_ports("127.0.0.1", 1)
        self.data_directory.mkdir(parents=True, exist_ok=True)
        options = ["--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.data_directory)]
        options += ["--appendonly", "yes", "--save", ""]
        with (self.data_directory / "redis.log").open("ab") as log:
            self.process = subprocess.Popen([str(find_program()), *options], stdout=log, stderr=log)
        wait_until_sync(self._answers, within=START_TIMEOUT)

    def kill(self) -> None:
        """End the process as a crash would (SIGKILL)."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        """End the process in good order."""
        self.process.terminate()
        self.process.wait(START_TIMEOUT.total_seconds())

    def _answers(self) -> bool:
        with Redis(port=self.port) as client:
            try:
                return bool(client.ping())
            except RedisError:
                return False


@contextlib.contextmanager
def redis_server(data_directory: Path) -> Iterator[RedisServer]:
    """Run a server on a free port for as long as the context lasts."""
    server = RedisServer(data_directory)
    server.start()
    try:
        yield server
    finally:
        if server.process.poll() is None:
            server.stop()
