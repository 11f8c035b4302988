"""An ingestion service as a process, with the backends that it is given."""

from __future__ import annotations

import contextlib
import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec
from tests.servers import shifted_ingestion
from tests.servers.process import AnsweringServer, answers_ok, running

from cloudscale.local.ports import find_free_ports
from cloudscale.settings import Settings, as_environment

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import timedelta
    from pathlib import Path

    from tests.servers.cosmos import CosmosServer
    from tests.servers.redis import RedisServer
    from tests.servers.servicebus import ServiceBusServer

MANY_EVENTS = {"eventsBurst": 1_000_000_000, "eventsPerSecond": 1_000_000_000}
UNLIMITED: dict[str, Any] = {
    "perClient": {"burst": 1_000_000, "perSecond": 1_000_000, **MANY_EVENTS},
    "perKey": {"burst": 1_000_000, "perSecond": 1_000_000},
    "perTenant": {"burst": 1_000_000, "perSecond": 1_000_000, **MANY_EVENTS},
    "global": {"limit": 1_000_000_000, "window": "60s", **MANY_EVENTS},
}


@dataclass
class IngestionServer(AnsweringServer):
    """A running service. ``spec`` is the resource's, as it stands in a file."""

    broker: ServiceBusServer
    cache: RedisServer
    spec: dict[str, Any]
    name: str
    store: CosmosServer | None = None
    """Where the directory of keys is; without one, anybody may send."""
    port: int = 0
    keys_file: Path | None = None
    """Where keys are given."""
    clock_shift: timedelta | None = None
    """How far its clock is ahead of this machine's when it notes the receipt of an event."""

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    def command(self) -> list[str]:
        """The service, with its resource written down."""
        resource = {
            "apiVersion": "cloudscale.io/v1alpha1",
            "kind": "EventPipeline",
            "metadata": {"name": self.name},
            "spec": self.spec,
        }
        self._pipeline_file.write_bytes(msgspec.json.encode(resource))
        if self.clock_shift is not None:
            return [sys.executable, "-m", shifted_ingestion.__name__, str(self.clock_shift.total_seconds())]
        return [sys.executable, "-m", "cloudscale.ingestion"]

    def environment(self) -> dict[str, str]:
        """Its settings, with its port or a free one."""
        if not self.port:
            (self.port,) = find_free_ports("127.0.0.1", 1)
        metrics = self.directory / "metrics"
        metrics.mkdir(exist_ok=True)
        settings = Settings(
            pipeline_file=str(self._pipeline_file),
            redis_url=self.cache.url,
            servicebus_connection_string=self.broker.connection_string,
            servicebus_management_url=self.broker.management_url,
            cosmos_connection_string="" if self.store is None else self.store.connection_string,
            access="Open" if self.store is None else "Required",
            certificate_authority_file=str(self.broker.certificate_authority),
            keys_file="" if self.keys_file is None else str(self.keys_file),
            port=self.port,
            log_format="console",
        )
        return {**os.environ, **as_environment(settings), "PROMETHEUS_MULTIPROC_DIR": str(metrics)}

    def is_ready(self) -> bool:
        """Whether it takes events."""
        return answers_ok(f"{self.url}/ready")

    @property
    def _pipeline_file(self) -> Path:
        return self.directory / "pipeline.json"


@contextlib.contextmanager
def ingestion_server(
    directory: Path,
    *,
    broker: ServiceBusServer,
    cache: RedisServer,
    spec: dict[str, Any] | None = None,
    name: str = "test",
    store: CosmosServer | None = None,
    keys_file: Path | None = None,
    clock_shift: timedelta | None = None,
) -> Iterator[IngestionServer]:
    """Run a service on a free port for as long as the context lasts, without rate limits unless ``spec`` has some.

    With a ``store`` it takes events of those only whose keys are in the directory there.
    """
    spec = {"ingestion": {"rateLimits": UNLIMITED}} if spec is None else spec
    service = IngestionServer(directory, broker, cache, spec, name, store, keys_file=keys_file, clock_shift=clock_shift)
    with running(service) as server:
        yield server
