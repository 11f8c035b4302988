"""``cloudscale run`` from its start to its end, as a user sees it."""

from __future__ import annotations

import os
import signal
import socket
import urllib.request
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.integration.conftest import ROOT
from tests.integration.facts import documents
from tests.waiting import wait_until_sync

from cloudscale.local.background import BackgroundRun

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable

    Command = Callable[..., subprocess.CompletedProcess[str]]

EXAMPLE = ROOT / "examples" / "clickstream.yaml"
EVENT = '{"eventType":"page_view","tenantId":"lasting","eventId":"l-1","userId":"ada","url":"https://shop.example/"}\n'
SOON = timedelta(seconds=30)


def has_ended(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split(") ")[1].startswith("Z")
    except FileNotFoundError:
        return True


def test_what_was_accepted_outlives_a_stop_and_a_start(tmp_path: Path, command: Command) -> None:
    run = BackgroundRun(pipeline_file=EXAMPLE, data_directory=tmp_path / "data")
    where = ("--data-dir", str(run.data_directory))
    with run:
        assert command("events", "send", "-", *where, stdin=EVENT).returncode == 0
        started = run.process_ids()
    assert "stopped" in run.output
    assert all(has_ended(pid) for pid in started.values())

    with run:
        query = "SELECT c.id FROM c WHERE c.tenantId = @tenant"
        wait_until_sync(lambda: documents(run.instance, query, tenant_id="lasting") == [{"id": "l-1"}], within=SOON)
        assert '"status":409' in command("events", "send", "-", *where, stdin=EVENT).stdout
        assert command("verify", "--wait", "30s", *where).returncode == 0


def test_a_second_run_on_the_same_directory_is_refused(pipeline: BackgroundRun, command: Command) -> None:
    result = command("run", str(EXAMPLE), "--data-dir", str(pipeline.data_directory))
    assert result.returncode == 2
    assert f"is in use by process {pipeline.process.pid}" in result.stderr


def test_a_busy_port_is_refused_before_anything_starts(command: Command, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = str(server.getsockname()[1])
        result = command("run", str(EXAMPLE), "--data-dir", str(tmp_path / "data"), "--port", port)

    assert result.returncode == 2
    assert result.stderr == (
        f"error: port {port} of 127.0.0.1 is busy, ingestion cannot listen there: choose another with --port\n"
    )


def test_data_of_another_pipeline_is_not_mixed_with_this_one(
    pipeline: BackgroundRun, command: Command, tmp_path: Path
) -> None:
    directory = tmp_path / "data"
    directory.mkdir()
    (directory / "pipeline.json").write_bytes((pipeline.data_directory / "pipeline.json").read_bytes())

    result = command("run", str(ROOT / "examples" / "replay.yaml"), "--data-dir", str(directory))

    assert result.returncode == 2
    assert "metadata.name is immutable" in result.stderr
    assert "'clickstream'" in result.stderr


def test_the_addresses_that_are_printed_answer(pipeline: BackgroundRun) -> None:
    record = pipeline.record
    assert record.ingestion_url in pipeline.output
    for url in (f"{record.ingestion_url}/ready", f"{record.ingestion_url}/docs", f"{record.dashboard_url}/health"):
        with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310 (an address of ours)
            assert answer.status == 200


@pytest.mark.fault
def test_nothing_outlives_a_supervisor_that_is_killed(tmp_path: Path) -> None:
    run = BackgroundRun(pipeline_file=EXAMPLE, data_directory=tmp_path / "data")
    with run:
        children = run.process_ids()
        run.kill()
        wait_until_sync(lambda: all(has_ended(pid) for pid in children.values()), within=SOON)


@pytest.mark.fault
def test_a_second_interrupt_ends_a_stop_that_waits(tmp_path: Path) -> None:
    run = BackgroundRun(pipeline_file=EXAMPLE, data_directory=tmp_path / "data")
    with run:
        os.kill(run.process_ids()["worker"], signal.SIGSTOP)
        run.process.send_signal(signal.SIGINT)
        wait_until_sync(lambda: "stopping" in run.output, within=SOON)
        run.process.send_signal(signal.SIGINT)
        assert run.process.wait(30) == 0
    assert "ending everything now" in run.output


def test_depth_and_dead_letters_of_a_quiet_pipeline(pipeline: BackgroundRun, command: Command) -> None:
    where = ("--data-dir", str(pipeline.data_directory))

    assert command("dlq", "list", *where).stdout == "no dead letters\n"
    assert command("dlq", "show", "1", *where).stderr.startswith("error: there is no dead letter 1")
    assert "dead letters 0" in command("depth", *where).stdout
    assert '"active":' in command("depth", "--json", *where).stdout
    assert command("verify", "--json", "--wait", "30s", *where).returncode == 0
