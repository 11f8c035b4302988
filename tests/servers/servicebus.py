"""The Service Bus emulator as a process, for every test that needs a broker."""

from __future__ import annotations

import contextlib
import json
import sys
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import requests
from azure.servicebus._base_handler import _generate_sas_token
from tests.servers.coverage import emulator_environment
from tests.servers.process import ListeningServer, running

from cloudscale.local.ports import find_free_ports

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

CALL_SECONDS = 15
KEY_NAME = "RootManageSharedAccessKey"


@dataclass
class ServiceBusServer(ListeningServer):
    """A running emulator."""

    queues: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    host: str = "127.0.0.1"
    port: int = 0
    management_port: int = 0

    def command(self) -> list[str]:
        """The emulator on its ports, or on free ones, which no outgoing connection takes while it is stopped."""
        if not self.port:
            self.port, self.management_port = find_free_ports(self.host, 2)
        command = [sys.executable, "-m", "cloudscale.emulators.servicebus", "--data-dir", str(self.directory)]
        command += ["--host", self.host, "--port", str(self.port), "--management-port", str(self.management_port)]
        command += [argument for name in self.queues for argument in ("--queue", name)]
        return [*command, *self.options]

    def environment(self) -> dict[str, str]:
        """Without the measuring of coverage, except for the emulators' own tests."""
        return emulator_environment()

    def listens_at(self, addresses: list[str]) -> None:
        """Keep the ports of AMQP and of the management API."""
        self.port, self.management_port = (urlsplit(address).port or 0 for address in addresses)

    def set_faults(self, **faults: object) -> None:
        """Make the broker fail as told, by the names of its fault injection; without any it works again."""
        signature = _generate_sas_token(f"https://{self.host}", KEY_NAME, self.key, timedelta(minutes=5)).token
        requests.put(
            f"{self.management_url}/$faults",
            data=json.dumps(faults),
            headers={"Authorization": str(signature)},
            verify=str(self.certificate_authority),
            timeout=CALL_SECONDS,
        ).raise_for_status()

    @property
    def key(self) -> str:
        """The shared access key."""
        return (self.directory / "shared-access-key").read_text().strip()

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
        return self.directory / "tls" / "ca.pem"

    def _connection_string(self, port: int) -> str:
        return (
            f"Endpoint=sb://{self.host}:{port};SharedAccessKeyName={KEY_NAME};SharedAccessKey={self.key};"
            "UseDevelopmentEmulator=true"
        )


@contextlib.contextmanager
def servicebus_server(
    directory: Path, *, queues: Sequence[str] = (), options: Sequence[str] = ()
) -> Iterator[ServiceBusServer]:
    """Run an emulator on free ports for as long as the context lasts."""
    with running(ServiceBusServer(directory, tuple(queues), tuple(options))) as server:
        yield server
