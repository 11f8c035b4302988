"""The Cosmos emulator as a process of its own, for tests."""

import base64
import hmac
import json
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email.utils import formatdate
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from tests.servers.coverage import emulator_environment
from tests.servers.process import ListeningServer, running

from cloudscale.local.ports import find_free_ports


@dataclass
class CosmosServer(ListeningServer):
    """A running emulator."""

    arguments: tuple[str, ...] = ()
    port: int = 0

    @property
    def endpoint(self) -> str:
        """The account's address."""
        return f"http://127.0.0.1:{self.port}/"

    @property
    def account_key(self) -> str:
        """The account's key, base64."""
        return (self.directory / "account.key").read_text().strip()

    @property
    def connection_string(self) -> str:
        """Both, as SDKs and Secrets take them."""
        return f"AccountEndpoint={self.endpoint};AccountKey={self.account_key};"

    def command(self) -> list[str]:
        """The emulator on its port, or on a free one, which no outgoing connection takes while it is stopped."""
        if not self.port:
            (self.port,) = find_free_ports("127.0.0.1", 1)
        place = ["--data-dir", str(self.directory), "--port", str(self.port)]
        return [sys.executable, "-m", "cloudscale.emulators.cosmos", *place, *self.arguments]

    def environment(self) -> dict[str, str]:
        """Without the measuring of coverage, except for the emulators' own tests."""
        return emulator_environment()

    def listens_at(self, addresses: list[str]) -> None:
        """Keep the port."""
        self.port = urlsplit(addresses[0]).port or 0

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
    directory: Path,
    *,
    partition_ranges: int = 1,
    enforce_throughput: bool = False,
    fsync: str = "interval",
) -> Iterator[CosmosServer]:
    """A started emulator with its data in ``directory``."""
    arguments = ["--partition-ranges", str(partition_ranges), "--fsync", fsync]
    if enforce_throughput:
        arguments.append("--enforce-throughput")
    with running(CosmosServer(directory, tuple(arguments))) as server:
        yield server
