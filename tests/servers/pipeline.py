"""A whole pipeline, as ``cloudscale run`` starts it, for tests that look at it from outside."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from urllib.error import URLError
from urllib.request import urlopen

import msgspec
from tests.servers.ingestion import UNLIMITED
from tests.waiting import wait_until_sync

from cloudscale.local.instance import Instance, find_instance
from cloudscale.local.ports import find_free_ports

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

START_TIMEOUT = timedelta(seconds=90)
STOP_TIMEOUT = timedelta(seconds=60)


@dataclass(frozen=True)
class RunningPipeline:
    """A pipeline at work. ``token`` opens its dashboard and may act."""

    directory: Path
    url: str
    dashboard_url: str
    token: str

    @property
    def instance(self) -> Instance:
        """What the command line knows of it: the resource and the settings of its services."""
        return find_instance(self.directory / "data")


@contextlib.contextmanager
def running_pipeline(directory: Path, *, spec: dict[str, Any] | None = None) -> Iterator[RunningPipeline]:
    """Run a pipeline on free ports for as long as the context lasts, without rate limits unless ``spec`` has some."""
    directory.mkdir(parents=True, exist_ok=True)
    document = {
        "apiVersion": "cloudscale.io/v1alpha1",
        "kind": "EventPipeline",
        "metadata": {"name": "shops"},
        "spec": {"ingestion": {"rateLimits": UNLIMITED}} | (spec or {}),
    }
    (directory / "pipeline.json").write_bytes(msgspec.json.encode(document))
    port, dashboard_port = find_free_ports("127.0.0.1", 2)
    command = [sys.executable, "-m", "cloudscale.commands.cli", "run", str(directory / "pipeline.json")]
    command += ["--data-dir", str(directory / "data"), "--port", str(port), "--dashboard-port", str(dashboard_port)]
    with (directory / "run.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        url, dashboard_url = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{dashboard_port}"

        def is_ready() -> bool:
            if process.poll() is not None:
                raise AssertionError((directory / "run.log").read_text())
            record = directory / "data" / "run.json"
            return record.exists() and _answers(f"{url}/ready") and _answers(f"{dashboard_url}/health")

        wait_until_sync(is_ready, within=START_TIMEOUT)
        token = (directory / "data" / "keys" / "dashboard-token").read_text().strip()
        yield RunningPipeline(directory, url, dashboard_url, token)
    finally:
        process.terminate()
        try:
            process.wait(STOP_TIMEOUT.total_seconds())
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _answers(url: str) -> bool:
    try:
        with urlopen(url, timeout=2) as response:  # noqa: S310 - it is our own
            return bool(response.status == 200)
    except (URLError, OSError):
        return False
