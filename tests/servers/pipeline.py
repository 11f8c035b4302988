"""A whole pipeline, as ``cloudscale run`` starts it, for tests that look at it from outside."""

from __future__ import annotations

import contextlib
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec
from tests.servers.ingestion import UNLIMITED
from tests.servers.process import AnsweringServer, answers_ok, running

from cloudscale.local.instance import Instance, find_instance
from cloudscale.local.ports import find_free_ports

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@dataclass
class RunningPipeline(AnsweringServer):
    """A pipeline at work, with the ``spec`` of its resource."""

    spec: dict[str, Any]
    port: int = 0
    dashboard_port: int = 0

    @property
    def url(self) -> str:
        """Where ingestion listens."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def dashboard_url(self) -> str:
        """Where the dashboard listens."""
        return f"http://127.0.0.1:{self.dashboard_port}"

    @property
    def token(self) -> str:
        """What opens the dashboard and may act."""
        return (self._data_directory / "keys" / "dashboard-token").read_text().strip()

    @property
    def instance(self) -> Instance:
        """What the command line knows of it: the resource and the settings of its services."""
        return find_instance(self._data_directory)

    def command(self) -> list[str]:
        """``cloudscale run`` on its ports, or on free ones, with the resource written down."""
        if not self.port:
            self.port, self.dashboard_port = find_free_ports("127.0.0.1", 2)
        document = {
            "apiVersion": "cloudscale.io/v1alpha1",
            "kind": "EventPipeline",
            "metadata": {"name": "shops"},
            "spec": self.spec,
        }
        (self.directory / "pipeline.json").write_bytes(msgspec.json.encode(document))
        command = [sys.executable, "-m", "cloudscale.commands.cli", "run", str(self.directory / "pipeline.json")]
        command += ["--data-dir", str(self._data_directory)]
        return [*command, "--port", str(self.port), "--dashboard-port", str(self.dashboard_port)]

    def is_ready(self) -> bool:
        """Whether it takes events, has written down where it is, and shows the events that it takes from now on."""
        record = self._data_directory / "run.json"
        return record.exists() and answers_ok(f"{self.url}/ready") and answers_ok(f"{self.dashboard_url}/health")

    @property
    def _data_directory(self) -> Path:
        return self.directory / "data"


@contextlib.contextmanager
def running_pipeline(directory: Path, *, spec: dict[str, Any] | None = None) -> Iterator[RunningPipeline]:
    """Run a pipeline on free ports for as long as the context lasts, without rate limits unless ``spec`` has some."""
    with running(RunningPipeline(directory, {"ingestion": {"rateLimits": UNLIMITED}} | (spec or {}))) as pipeline:
        yield pipeline
