"""Azurite, Microsoft's emulator of Blob storage, as a process of its own, for tests."""

from __future__ import annotations

import base64
import socket
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.servers.process import AnsweringServer

from cloudscale.local.ports import find_free_ports

if TYPE_CHECKING:
    from collections.abc import Mapping

ACCOUNT = "tests"
KEY = base64.b64encode(b"a key of the tests").decode()


@dataclass
class AzuriteServer(AnsweringServer):
    """A running emulator of Blob storage. It keeps its data when it is killed and started again."""

    port: int = 0

    @property
    def connection_string(self) -> str:
        """As the SDK takes it."""
        endpoint = f"http://127.0.0.1:{self.port}/{ACCOUNT}"
        return f"DefaultEndpointsProtocol=http;AccountName={ACCOUNT};AccountKey={KEY};BlobEndpoint={endpoint};"

    def command(self) -> list[str]:
        """The program from the PATH."""
        if not self.port:
            (self.port,) = find_free_ports("127.0.0.1", 1)
        place = ["--location", str(self.directory), "--blobHost", "127.0.0.1", "--blobPort", str(self.port)]
        # The SDK may ask for a version of the API that Azurite does not know yet, and uses nothing of it.
        return ["azurite-blob", *place, "--silent", "--disableTelemetry", "--skipApiVersionCheck"]

    def environment(self) -> dict[str, str]:
        """With the tests' own account."""
        given: Mapping[str, str] = super().environment()
        return {**given, "AZURITE_ACCOUNTS": f"{ACCOUNT}:{KEY}"}

    def is_ready(self) -> bool:
        """Whether it takes connections."""
        with closing(socket.socket()) as connection:
            return connection.connect_ex(("127.0.0.1", self.port)) == 0
