"""The dashboard behind TLS."""

from __future__ import annotations

import socket
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest
from tests.servers.certificate import write_certificate
from tests.servers.dashboard import DashboardServer
from tests.servers.process import running

from cloudscale.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.servers.redis import RedisServer


@dataclass
class TlsDashboard(DashboardServer):
    """A dashboard that shows a certificate."""

    certificate: Path = field(default_factory=Path)

    def environment(self) -> dict[str, str]:
        """With the certificate's folder."""
        return {**super().environment(), "CLOUDSCALE_TLS_FOLDER": str(self.certificate)}

    def is_ready(self) -> bool:
        """Whether it is healthy, by a client that trusts this certificate alone."""
        try:
            return self.health(ssl.create_default_context(cafile=str(self.certificate / "tls.crt")))[1] == 200
        except OSError:
            return False

    def health(self, context: ssl.SSLContext) -> tuple[str | None, int]:
        """The version of TLS that was agreed on, and the status of ``/health``."""
        with (
            socket.create_connection(("127.0.0.1", self.port), 10) as plain,
            context.wrap_socket(plain, server_hostname="127.0.0.1") as found,
        ):
            found.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            return found.version(), int(found.recv(1000).split()[1])


@pytest.fixture(scope="module")
def secured(cache_server: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TlsDashboard]:
    directory = tmp_path_factory.mktemp("tls-dashboard")
    document = {"apiVersion": "cloudscale.io/v1alpha1", "kind": "EventPipeline", "metadata": {"name": "secured"}}
    (directory / "pipeline.json").write_bytes(msgspec.json.encode(document))
    write_certificate(directory / "certificate", "dashboard")
    settings = Settings(pipeline_file=str(directory / "pipeline.json"), redis_url=cache_server.url)
    server = TlsDashboard(directory / "server", settings, (), certificate=directory / "certificate")
    with running(server):
        yield server


@pytest.mark.parametrize(
    ("latest", "agreed"), [(ssl.TLSVersion.TLSv1_3, "TLSv1.3"), (ssl.TLSVersion.TLSv1_2, "TLSv1.2")]
)
def test_it_speaks_the_two_versions_that_are_in_use(secured: TlsDashboard, latest: ssl.TLSVersion, agreed: str) -> None:
    context = ssl.create_default_context(cafile=str(secured.certificate / "tls.crt"))
    context.maximum_version = latest
    assert secured.health(context) == (agreed, 200)


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
def test_it_refuses_an_older_version(secured: TlsDashboard) -> None:
    context = ssl.create_default_context(cafile=str(secured.certificate / "tls.crt"))
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises(ssl.SSLError, match=r"(?i)alert"):
        secured.health(context)
