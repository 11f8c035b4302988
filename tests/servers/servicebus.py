"""The Service Bus emulator as a process, for every test that needs a broker."""

from __future__ import annotations

import contextlib
import json
import selectors
import subprocess
import sys
import time
from dataclasses import dataclass, field
from datetime import timedelta
from typing import IO, TYPE_CHECKING
from urllib.parse import urlsplit

import requests
from azure.servicebus._base_handler import _generate_sas_token
from tests.servers.coverage import emulator_environment

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

START_TIMEOUT = timedelta(seconds=90)
STOP_TIMEOUT = timedelta(seconds=15)
KEY_NAME = "RootManageSharedAccessKey"


@dataclass
class ServiceBusServer:
    """A running emulator. It keeps its ports and its data when it is killed and started again."""

    data_directory: Path
    queues: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    host: str = "127.0.0.1"
    port: int = 0
    management_port: int = 0
    process: subprocess.Popen[bytes] = field(init=False)

    def start(self) -> None:
        """Start the process and wait until it listens."""
        command = [sys.executable, "-m", "cloudscale.emulators.servicebus", "--data-dir", str(self.data_directory)]
        command += ["--host", self.host, "--port", str(self.port), "--management-port", str(self.management_port)]
        command += [argument for name in self.queues for argument in ("--queue", name)]
        self.data_directory.mkdir(parents=True, exist_ok=True)
        with (self.data_directory / "emulator.log").open("ab") as log:
            self.process = subprocess.Popen(
                [*command, *self.options], env=emulator_environment(), stdout=subprocess.PIPE, stderr=log
            )
        assert self.process.stdout is not None
        line = _read_line(self.process.stdout)
        if not line.startswith("listening "):
            self.process.wait(STOP_TIMEOUT.total_seconds())
            raise AssertionError((self.data_directory / "emulator.log").read_text())
        _, data, management = line.split()
        self.port, self.management_port = urlsplit(data).port or 0, urlsplit(management).port or 0

    def kill(self) -> None:
        """End the process as a crash would (SIGKILL)."""
        self.process.kill()
        self._reap()

    def stop(self) -> int:
        """End the process in good order; return its exit code."""
        self.process.terminate()
        return self._reap()

    def set_faults(self, **faults: object) -> None:
        """Make the broker fail as told, by the names of its fault injection; without any it works again."""
        signature = _generate_sas_token(f"https://{self.host}", KEY_NAME, self.key, timedelta(minutes=5)).token
        requests.put(
            f"{self.management_url}/$faults",
            data=json.dumps(faults),
            headers={"Authorization": str(signature)},
            verify=str(self.certificate_authority),
            timeout=STOP_TIMEOUT.total_seconds(),
        ).raise_for_status()

    def _reap(self) -> int:
        code = self.process.wait(STOP_TIMEOUT.total_seconds())
        if self.process.stdout is not None:
            self.process.stdout.close()
        return code

    @property
    def key(self) -> str:
        """The shared access key."""
        return (self.data_directory / "shared-access-key").read_text().strip()

    @property
    def connection_string(self) -> str:
        """What clients connect to the AMQP port with."""
        return self._connection_string(self.port)

    @property
    def administration_connection_string(self) -> str:
        """What administration clients connect to the management port with (plain HTTP from Python)."""
        return self._connection_string(self.management_port)

    @property
    def management_url(self) -> str:
        """Base address of the management API, behind TLS."""
        return f"https://{self.host}:{self.management_port}"

    @property
    def certificate_authority(self) -> Path:
        """The authority that signed the server's certificate."""
        return self.data_directory / "tls" / "ca.pem"

    def _connection_string(self, port: int) -> str:
        return (
            f"Endpoint=sb://{self.host}:{port};SharedAccessKeyName={KEY_NAME};SharedAccessKey={self.key};"
            "UseDevelopmentEmulator=true"
        )


@contextlib.contextmanager
def servicebus_server(
    data_directory: Path, *, queues: Sequence[str] = (), options: Sequence[str] = ()
) -> Iterator[ServiceBusServer]:
    """Run an emulator on free ports for as long as the context lasts."""
    server = ServiceBusServer(data_directory, tuple(queues), tuple(options))
    server.start()
    try:
        yield server
    finally:
        if server.process.poll() is None:
            server.stop()


def _read_line(stream: IO[bytes]) -> str:
    """Read the first line, within a bound."""
    deadline = time.monotonic() + START_TIMEOUT.total_seconds()
    with selectors.DefaultSelector() as selector:
        selector.register(stream, selectors.EVENT_READ)
        if not selector.select(deadline - time.monotonic()):
            return ""
    return stream.readline().decode()
