"""An ingestion service as a process, with the backends that it is given."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from urllib.error import URLError
from urllib.request import urlopen

import msgspec
from tests.waiting import wait_until_sync

from cloudscale.local.ports import find_free_ports
from cloudscale.settings import Settings, as_environment

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.servers.redis import RedisServer
    from tests.servers.servicebus import ServiceBusServer

START_TIMEOUT = timedelta(seconds=90)
MANY_EVENTS = {"eventsBurst": 1_000_000_000, "eventsPerSecond": 1_000_000_000}
UNLIMITED: dict[str, Any] = {
    "perClient": {"burst": 1_000_000, "perSecond": 1_000_000, **MANY_EVENTS},
    "global": {"limit": 1_000_000_000, "window": "60s", **MANY_EVENTS},
}


@dataclass
class IngestionServer:
    """A running service. ``spec`` is the resource's, as it stands in a file."""

    directory: Path
    broker: ServiceBusServer
    cache: RedisServer
    spec: dict[str, Any]
    name: str
    port: int = 0
    process: subprocess.Popen[bytes] = field(init=False)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    def start(self, *, ready: bool = True) -> None:
        """Start the process and wait until it is ready, or only alive."""
        if not self.port:
            (self.port,) = find_free_ports("127.0.0.1", 1)
        self.directory.mkdir(parents=True, exist_ok=True)
        resource = {
            "apiVersion": "cloudscale.io/v1alpha1",
            "kind": "EventPipeline",
            "metadata": {"name": self.name},
            "spec": self.spec,
        }
        (self.directory / "pipeline.json").write_bytes(msgspec.json.encode(resource))
        metrics = self.directory / "metrics"
        metrics.mkdir(exist_ok=True)
        settings = Settings(
            pipeline_file=str(self.directory / "pipeline.json"),
            redis_url=self.cache.url,
            servicebus_connection_string=self.broker.connection_string,
            servicebus_management_url=self.broker.management_url,
            certificate_authority_file=str(self.broker.certificate_authority),
            port=self.port,
            log_format="console",
        )
        environment = {**os.environ, **as_environment(settings), "PROMETHEUS_MULTIPROC_DIR": str(metrics)}
        with (self.directory / "ingestion.log").open("ab") as log:
            command = [sys.executable, "-m", "cloudscale.ingestion"]
            self.process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        wait_until_sync(lambda: self.answers("/ready" if ready else "/health"), within=START_TIMEOUT)

    def answers(self, path: str) -> bool:
        """Whether a request gets a 200."""
        if self.process.poll() is not None:
            raise AssertionError((self.directory / "ingestion.log").read_text())
        try:
            with urlopen(self.url + path, timeout=2) as response:  # noqa: S310 - it is our own
                return bool(response.status == 200)
        except (URLError, OSError):
            return False

    def stop(self) -> int:
        """End the process in good order; its exit code."""
        self.process.terminate()
        return self.process.wait(START_TIMEOUT.total_seconds())


@contextlib.contextmanager
def ingestion_server(
    directory: Path,
    *,
    broker: ServiceBusServer,
    cache: RedisServer,
    spec: dict[str, Any] | None = None,
    name: str = "test",
) -> Iterator[IngestionServer]:
    """Run a service on a free port for as long as the context lasts, without rate limits unless ``spec`` has some."""
    spec = {"ingestion": {"rateLimits": UNLIMITED}} if spec is None else spec
    server = IngestionServer(directory, broker, cache, spec, name)
    server.start()
    try:
        yield server
    finally:
        if server.process.poll() is None:
            server.stop()
