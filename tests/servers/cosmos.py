"""The Cosmos emulator as a process of its own, for tests."""

import base64
import hmac
import json
import selectors
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from email.utils import formatdate
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from tests.servers.coverage import emulator_environment

START_TIMEOUT = timedelta(seconds=90)
STOP_TIMEOUT = timedelta(seconds=20)


@dataclass
class CosmosServer:
    """A running emulator; ``kill`` and ``start`` take it away and bring it back on the same port and data."""

    data_directory: Path
    arguments: tuple[str, ...] = ()
    port: int = 0
    process: subprocess.Popen[bytes] = field(init=False)

    @property
    def endpoint(self) -> str:
        """The account's address."""
        return f"http://127.0.0.1:{self.port}/"

    @property
    def account_key(self) -> str:
        """The account's key, base64."""
        return (self.data_directory / "account.key").read_text().strip()

    @property
    def connection_string(self) -> str:
        """Both, as SDKs and Secrets take them."""
        return f"AccountEndpoint={self.endpoint};AccountKey={self.account_key};"

    def start(self) -> None:
        """Start the process and wait until it listens."""
        command = [sys.executable, "-m", "cloudscale.emulators.cosmos"]
        command += ["--data-dir", str(self.data_directory), "--port", str(self.port), *self.arguments]
        self.data_directory.mkdir(parents=True, exist_ok=True)
        with self._log_file.open("ab") as log:
            self.process = subprocess.Popen(command, env=emulator_environment(), stdout=subprocess.PIPE, stderr=log)
        line = self._first_line()
        if not line.startswith("listening "):
            self._reap()
            raise AssertionError(f"The Cosmos emulator did not start: {self._log_file.read_text()}")
        self.port = urlsplit(line.split()[1]).port or 0

    def _first_line(self) -> str:
        assert self.process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdout, selectors.EVENT_READ)
            return self.process.stdout.readline().decode() if selector.select(START_TIMEOUT.total_seconds()) else ""

    def kill(self) -> None:
        """End the process as a crash would (SIGKILL)."""
        self.process.kill()
        self._reap()

    def stop(self) -> int:
        """End the process in good order (SIGTERM); returns the exit code."""
        self.process.terminate()
        return self._reap()

    def _reap(self) -> int:
        code = self.process.wait(STOP_TIMEOUT.total_seconds())
        if self.process.stdout is not None:
            self.process.stdout.close()
        return code

    @property
    def _log_file(self) -> Path:
        return self.data_directory / "emulator.log"

    def set_faults(self, **plan: Any) -> None:
        """Ask for trouble, with the members of ``PUT /$faults``; without any, end it."""
        self.request("PUT" if plan else "DELETE", "$faults", json.dumps(plan).encode())

    def metrics(self) -> list[str]:
        """The lines of ``GET /metrics``."""
        with urllib.request.urlopen(f"{self.endpoint}metrics", timeout=5) as response:  # noqa: S310 - http only
            return list(response.read().decode().splitlines())

    def request(self, method: str, path: str, body: bytes = b"") -> bytes:
        """A signed request outside of the SDKs."""
        date = formatdate(usegmt=True)
        payload = f"{method.lower()}\n{path}\n\n{date.lower()}\n\n"
        signature = base64.b64encode(hmac.digest(base64.b64decode(self.account_key), payload.encode(), "sha256"))
        headers = {"x-ms-date": date, "authorization": quote(f"type=master&ver=1.0&sig={signature.decode()}", safe="")}
        request = urllib.request.Request(self.endpoint + path, data=body, method=method, headers=headers)  # noqa: S310
        with urllib.request.urlopen(request, timeout=10) as response:  # noqa: S310 - http only
            return bytes(response.read())


@contextmanager
def cosmos_server(
    data_directory: Path,
    *,
    partition_ranges: int = 1,
    enforce_throughput: bool = False,
    fsync: str = "interval",
) -> Iterator[CosmosServer]:
    """A started emulator with its data in ``data_directory``."""
    arguments = ["--partition-ranges", str(partition_ranges), "--fsync", fsync]
    if enforce_throughput:
        arguments.append("--enforce-throughput")
    server = CosmosServer(data_directory, tuple(arguments))
    server.start()
    try:
        yield server
    finally:
        if server.process.poll() is None:
            server.stop()
