"""From ``cloudscale run`` to the receiver that the guide has: an event arrives, signed."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from base64 import b64encode
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import yaml
from tests.servers.background import BackgroundRun
from tests.waiting import wait_until_sync

from cloudscale.examples import Kind, find
from cloudscale.local.ports import find_free_ports

if TYPE_CHECKING:
    import pytest

ROOT = Path(__file__).parents[2]
RECEIVER = ROOT / "docs" / "clients" / "webhook" / "webhook_receiver.py"
WITHIN = timedelta(minutes=1)


def test_a_purchase_reaches_the_receiver_of_the_guide(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLOUDSCALE_OUTLET_SECRET_CRM", f"whsec_{b64encode(secrets.token_bytes(32)).decode()}")
    (port,) = find_free_ports("127.0.0.1", 1)
    document = yaml.safe_load(find("outlets", kind=Kind.PIPELINE).read_text())
    document["spec"]["outlets"][0]["webhook"]["url"] = f"http://127.0.0.1:{port}/hooks"
    file = tmp_path / "pipeline.yaml"
    file.write_text(yaml.safe_dump(document))
    output = tmp_path / "received.txt"
    with output.open("wb") as written:
        receiver = subprocess.Popen((sys.executable, RECEIVER, "--port", str(port)), stdout=written)
    try:
        with BackgroundRun(pipeline_file=file, data_directory=tmp_path / "data") as run:
            environment = {**os.environ, "CLOUDSCALE_DATA_DIR": str(run.data_directory)}
            subprocess.run(
                (sys.executable, "-m", "cloudscale.commands.cli", "events", "send", "--example", "events"),
                env=environment,
                check=True,
                timeout=60,
                capture_output=True,
            )
            wait_until_sync(lambda: "com.cloudscale.purchase example-3" in output.read_text(), within=WITHIN)
    finally:
        receiver.terminate()
        receiver.wait(10)
    lines = output.read_text().splitlines()
    assert lines[0] == f"listening on http://127.0.0.1:{port}/hooks"
    assert [line.split(" ")[:2] for line in lines[1:]] == [["com.cloudscale.purchase", "example-3"]]
