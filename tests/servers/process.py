"""A server as a process of its own: started, waited for, ended. What to run and when it is there, each server says."""

from __future__ import annotations

import contextlib
import os
import selectors
import subprocess
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, TypeVar
from urllib.request import urlopen

from tests.waiting import wait_until_sync

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

START_TIMEOUT = timedelta(seconds=90)
STOP_TIMEOUT = timedelta(seconds=60)


@dataclass
class ServerProcess(ABC):
    """A server with its files in ``directory``. Killed or stopped and started again, it keeps its ports and data."""

    directory: Path
    process: subprocess.Popen[bytes] = field(init=False)

    @abstractmethod
    def command(self) -> list[str]:
        """The program and its arguments; files that it needs are written here."""

    @abstractmethod
    def wait_until_started(self) -> None:
        """Return when the process serves; fail when it does not in time."""

    def environment(self) -> dict[str, str]:
        """The variables of the process."""
        return dict(os.environ)

    def start(self) -> None:
        """Start the process and wait until it serves."""
        self.directory.mkdir(parents=True, exist_ok=True)
        command = self.command()
        with self.log_file.open("ab") as log:
            self.process = subprocess.Popen(
                command, env=self.environment(), stdout=self._output(log.fileno()), stderr=log
            )
        try:
            self.wait_until_started()
        except BaseException:
            self.kill()
            raise

    def kill(self) -> None:
        """End the process as a crash would (SIGKILL)."""
        self.process.kill()
        self._wait()

    def stop(self) -> int:
        """End the process in good order (SIGTERM); its exit code. One that does not end is killed."""
        self.process.terminate()
        try:
            return self._wait()
        except subprocess.TimeoutExpired:
            self.kill()
            raise

    @property
    def log_file(self) -> Path:
        """Where the process writes what it says."""
        return self.directory / "server.log"

    def _output(self, log: int) -> int:
        return log

    def _wait(self) -> int:
        code = self.process.wait(STOP_TIMEOUT.total_seconds())
        if self.process.stdout is not None:
            self.process.stdout.close()
        return code


class AnsweringServer(ServerProcess):
    """A server that serves when it answers."""

    @abstractmethod
    def is_ready(self) -> bool:
        """Whether it answers now."""

    def wait_until_started(self) -> None:
        """Ask until it answers; fail with its log when it ends instead."""

        def answers() -> bool:
            assert self.process.poll() is None, self.log_file.read_text()
            return self.is_ready()

        wait_until_sync(answers, within=START_TIMEOUT)


class ListeningServer(ServerProcess):
    """A server that prints ``listening`` and its addresses as its first line."""

    @abstractmethod
    def listens_at(self, addresses: list[str]) -> None:
        """Take note of the addresses that it listens at."""

    def wait_until_started(self) -> None:
        """Read the first line; fail with the log when it is another or does not come."""
        assert self.process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdout, selectors.EVENT_READ)
            came = selector.select(START_TIMEOUT.total_seconds())
        word, *addresses = (self.process.stdout.readline().decode() if came else "").split() or [""]
        assert word == "listening", self.log_file.read_text()
        self.listens_at(addresses)

    def _output(self, log: int) -> int:  # noqa: ARG002 - the first line is read, not logged
        return subprocess.PIPE


Server = TypeVar("Server", bound=ServerProcess)


@contextlib.contextmanager
def running(server: Server) -> Iterator[Server]:
    """The server, started, for as long as the context lasts; a test may have ended it before."""
    server.start()
    try:
        yield server
    finally:
        if server.process.poll() is None:
            server.stop()


def answers_ok(url: str) -> bool:
    """Whether a GET is answered with 200."""
    try:
        with urlopen(url, timeout=2) as response:  # noqa: S310 - it is our own
            return bool(response.status == 200)
    except OSError:
        return False
