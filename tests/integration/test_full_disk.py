"""A disk that fills up under a whole pipeline: once there is room again, all that was accepted is stored."""

from __future__ import annotations

import itertools
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

import msgspec
import pytest
from tests.integration.facts import documents
from tests.servers.background import BackgroundRun
from tests.servers.disk import can_mount, small_disk
from tests.waiting import wait_until_sync

from cloudscale.local.ports import find_free_ports

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable

pytestmark = [
    pytest.mark.fault,
    pytest.mark.timeout(280),
    pytest.mark.skipif(not can_mount(), reason="mounting a small disk takes root"),
]

TENANT = "crowded"
SENT_WHILE_FULL = 60
RECOVERY = timedelta(seconds=60)


class Sender:
    """Sends single events and remembers which were accepted."""

    def __init__(self, url: str) -> None:
        self._url = f"{url}/api/v1/events"
        self._numbers = itertools.count()
        self.accepted: set[str] = set()

    def send(self) -> bool:
        """Whether one more event was accepted."""
        event_id = f"c-{next(self._numbers)}"
        event = {"eventType": "page_view", "eventId": event_id, "tenantId": TENANT, "userId": "ada", "url": "https://x"}
        body = msgspec.json.encode(event)
        request = Request(self._url, data=body, headers={"Content-Type": "application/json"}, method="POST")  # noqa: S310
        try:
            with urlopen(request, timeout=20) as response:  # noqa: S310 - our own
                accepted = bool(response.status == 202)
        except (URLError, OSError) as error:
            if isinstance(error, HTTPError):
                error.close()
            accepted = False
        if accepted:
            self.accepted.add(event_id)
        return accepted


def test_what_was_accepted_around_a_full_disk_is_stored_without_a_new_start(
    tmp_path: Path, command: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    with small_disk(tmp_path / "disk", megabytes=32) as disk:
        run = BackgroundRun(pipeline_file=Path(__file__).with_name("pipeline.yaml"), data_directory=disk.path / "data")
        with run:
            processes = run.process_ids()
            sender = Sender(run.record.ingestion_url)
            assert all(sender.send() for _ in range(20))
            disk.fill()
            for _ in range(SENT_WHILE_FULL):
                sender.send()
            disk.free(megabytes=256)
            wait_until_sync(sender.send, within=RECOVERY)
            proof = command("verify", "--wait", "90s", "--data-dir", str(run.data_directory), seconds=150)
            assert proof.returncode == 0, proof.stdout + proof.stderr
            query = "SELECT c.id FROM c WHERE c.tenantId = @tenant"
            stored = {each["id"] for each in documents(run.instance, query, tenant_id=TENANT)}
            assert sender.accepted <= stored
            # A broker whose journal cannot be written ends, as nobody may be told what is not on the disk.
            now = run.process_ids()
            assert {name for name in now if now[name] != processes[name]} <= {"broker"}


def test_a_start_without_room_says_so_in_a_sentence(
    tmp_path: Path, command: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    with small_disk(tmp_path / "disk", megabytes=1) as disk:
        disk.fill()
        port, dashboard_port = map(str, find_free_ports("127.0.0.1", 2))
        arguments = ("--data-dir", str(disk.path), "--port", port, "--dashboard-port", dashboard_port)
        run = command("run", "--example", "clickstream", *arguments, seconds=120)

    assert run.returncode != 0
    assert "make room" in run.stderr
    assert "Traceback" not in run.stdout + run.stderr
