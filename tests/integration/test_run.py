"""``cloudscale run`` from its start to its end, as a user sees it."""

from __future__ import annotations

import os
import signal
import socket
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from tests.integration.conftest import ROOT
from tests.integration.facts import documents
from tests.processes import has_ended
from tests.servers.background import BackgroundRun
from tests.waiting import wait_until_sync

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

    Command = Callable[..., subprocess.CompletedProcess[str]]

EXAMPLE = ROOT / "examples" / "clickstream.yaml"
EVENT = '{"eventType":"page_view","tenantId":"lasting","eventId":"l-1","userId":"ada","url":"https://shop.example/"}\n'
SOON = timedelta(seconds=30)


def test_a_busy_port_is_refused_before_anything_starts(command: Command, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = str(server.getsockname()[1])
        result = command("run", str(EXAMPLE), "--data-dir", str(tmp_path / "data"), "--port", port)

    assert result.returncode == 2
    assert result.stderr == (
        f"error: port {port} of 127.0.0.1 is busy, ingestion cannot listen there: choose another with --port\n"
    )


def test_one_port_for_two_servers_is_refused(command: Command, tmp_path: Path) -> None:
    ports = ("--port", "28080", "--dashboard-port", "28080")
    result = command("run", str(EXAMPLE), "--data-dir", str(tmp_path / "data"), *ports)

    assert result.returncode == 2
    assert "--port and --dashboard-port are both 28080" in result.stderr


@pytest.mark.fault
@pytest.mark.timeout(240)
def test_accepted_events_outlive_a_killed_supervisor_and_nothing_else_does(tmp_path: Path, command: Command) -> None:
    run = BackgroundRun(pipeline_file=EXAMPLE, data_directory=tmp_path / "data")
    where = ("--data-dir", str(run.data_directory))
    with run:
        assert command("events", "send", "-", *where, stdin=EVENT).returncode == 0
        orphans = run.process_ids()
        run.kill()
        # Nobody waits: the next start does.
    with run:
        assert all(has_ended(pid) for pid in orphans.values())
        query = "SELECT c.id FROM c WHERE c.tenantId = @tenant"
        wait_until_sync(lambda: documents(run.instance, query, tenant_id="lasting") == [{"id": "l-1"}], within=SOON)
        assert '"status":409' in command("events", "send", "-", *where, stdin=EVENT).stdout
        assert command("verify", "--wait", "30s", *where).returncode == 0
        children = run.process_ids()

        # A worker that hangs would hold up the stop; the second interrupt does not wait for it.
        os.kill(children["worker"], signal.SIGSTOP)
        run.process.send_signal(signal.SIGINT)
        wait_until_sync(lambda: "stopping" in run.output, within=SOON)
        run.process.send_signal(signal.SIGINT)
        assert run.process.wait(SOON.total_seconds()) == 0
    assert "ending everything now" in run.output
    assert all(has_ended(pid) for pid in children.values())
