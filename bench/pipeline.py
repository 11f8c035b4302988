"""Starts the pipeline under test as a user would, with `cloudscale run`, and identifies its processes."""

from __future__ import annotations

import base64
import contextlib
import datetime
import hmac
import json
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from email.utils import formatdate
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import requests
import yaml
from azure.servicebus._base_handler import _generate_sas_token

from cloudscale.local.plan import LOOPBACK
from cloudscale.local.ports import find_free_ports

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.scenarios import Scenario

ROOT = Path(__file__).resolve().parent.parent
START_SECONDS = 60
STOP_SECONDS = 90
CALL_SECONDS = 10


@dataclass(frozen=True)
class RunningPipeline:
    """A pipeline that is ready. ``directory`` is its data directory."""

    directory: Path
    url: str

    @property
    def settings(self) -> dict[str, str]:
        """The settings of its services."""
        settings: dict[str, str] = json.loads((self.directory / "run.json").read_text())["settings"]
        return settings

    def process_ids(self) -> dict[str, list[int]]:
        """Process ids by role; a process's children count as the process."""
        found: dict[str, list[int]] = {}
        for file in sorted((self.directory / "logs").glob("*.pid")):
            process_id = int(file.read_text())
            found[file.stem] = [process_id, *_children(process_id)]
        return found

    def verify(self, *, wait_seconds: int) -> dict[str, Any]:
        """The balance, as `cloudscale verify --json` prints it, once nothing is in flight any more."""
        program = str(Path(sys.executable).with_name("cloudscale"))
        return verified([program, "verify", "--data-dir", str(self.directory)], wait_seconds=wait_seconds)

    def set_faults(self, *, broker: dict[str, float], store: dict[str, float]) -> None:
        """Inject faults into the emulators; without any they work again."""
        settings = self.settings
        key = _parts(settings["servicebus_connection_string"])
        signature = _generate_sas_token(
            "https://127.0.0.1", key["SharedAccessKeyName"], key["SharedAccessKey"], datetime.timedelta(minutes=5)
        ).token
        requests.put(
            f"{settings['servicebus_management_url']}/$faults",
            data=json.dumps(broker),
            headers={"Authorization": str(signature)},
            verify=settings["certificate_authority_file"],
            timeout=CALL_SECONDS,
        ).raise_for_status()
        account = _parts(settings["cosmos_connection_string"])
        date = formatdate(usegmt=True)
        payload = f"put\n$faults\n\n{date.lower()}\n\n".encode()
        digest = base64.b64encode(hmac.digest(base64.b64decode(account["AccountKey"]), payload, "sha256")).decode()
        requests.put(
            f"{account['AccountEndpoint']}$faults",
            data=json.dumps(store),
            headers={"x-ms-date": date, "authorization": quote(f"type=master&ver=1.0&sig={digest}", safe="")},
            timeout=CALL_SECONDS,
        ).raise_for_status()


def verified(command: list[str], *, wait_seconds: int, environment: dict[str, str] | None = None) -> dict[str, Any]:
    """What ``cloudscale verify``, called by ``command``, says of the balance, and its exit code."""
    run = subprocess.run(
        [*command, "--json", "--wait", f"{wait_seconds}s"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=wait_seconds + 60,
        check=False,
    )
    if not run.stdout:
        raise RuntimeError(f"cloudscale verify failed: {run.stderr}")
    balance: dict[str, Any] = json.loads(run.stdout)
    balance["exitCode"] = run.returncode
    return balance


def _parts(connection_string: str) -> dict[str, str]:
    return dict(part.partition("=")[::2] for part in connection_string.split(";") if part)


@contextlib.contextmanager
def running(scenario: Scenario, directory: Path) -> Iterator[RunningPipeline]:
    """Run the scenario's pipeline on free ports with its data in ``directory``."""
    resource = yaml.safe_load((ROOT / "examples" / "bench.yaml").read_text())
    for part, value in scenario.spec.items():
        resource["spec"].setdefault(part, {}).update(value)
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "pipeline.yaml").write_text(yaml.safe_dump(resource))
    port, dashboard_port = find_free_ports(LOOPBACK, 2)
    command = [str(Path(sys.executable).with_name("cloudscale")), "run", str(directory / "pipeline.yaml"), "--quiet"]
    command += ["--data-dir", str(directory / "data"), "--port", str(port), "--dashboard-port", str(dashboard_port)]
    command += ["--ingestion-processes", str(scenario.ingestion_processes), "--workers", str(scenario.workers)]
    with (directory / "run.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        url = f"http://{LOOPBACK}:{port}"
        _wait_ready(url, process, directory / "run.log")
        yield RunningPipeline(directory / "data", url)
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(STOP_SECONDS)


def _wait_ready(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        with contextlib.suppress(requests.RequestException):
            # Ingestion is ready a moment before the run has written down its settings.
            if requests.get(url + "/ready", timeout=CALL_SECONDS).ok and (log.parent / "data" / "run.json").exists():
                return
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"the pipeline did not become ready: {log.read_text()}")
        time.sleep(0.2)


def _children(process_id: int) -> list[int]:
    text = Path(f"/proc/{process_id}/task/{process_id}/children").read_text()
    return [int(child) for child in text.split()]
