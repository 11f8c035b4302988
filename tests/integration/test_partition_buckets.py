"""A tenant that outgrows one logical partition: its events spread over several, and everything else stays as it was."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING

import msgspec
import pytest
from tests.integration.facts import documents
from tests.servers.background import BackgroundRun
from tests.servers.ingestion import UNLIMITED
from tests.waiting import wait_until_sync

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

    Command = Callable[..., subprocess.CompletedProcess[str]]

pytestmark = pytest.mark.timeout(240)

BUCKETS = 4
EVENTS = 200
USERS = 7
TENANT = "hot"
SOON = timedelta(seconds=60)


def test_events_of_one_tenant_spread_over_its_buckets_and_are_stored_once(tmp_path: Path, command: Command) -> None:
    pipeline = {
        "apiVersion": "cloudscale.io/v1alpha1",
        "kind": "EventPipeline",
        "metadata": {"name": "buckets"},
        "spec": {"store": {"partitionBuckets": BUCKETS}, "ingestion": {"rateLimits": UNLIMITED}},
    }
    (tmp_path / "pipeline.json").write_bytes(msgspec.json.encode(pipeline))
    lines = [
        {"eventType": "page_view", "tenantId": TENANT, "userId": f"u{number % USERS}", "eventId": f"b-{number}"}
        | {"url": "https://shop.example/"}
        for number in range(EVENTS)
    ]
    content = "".join(json.dumps(line) + "\n" for line in lines)
    with BackgroundRun(pipeline_file=tmp_path / "pipeline.json", data_directory=tmp_path / "data") as run:
        where = ("--data-dir", str(run.data_directory))
        assert command("events", "send", "-", *where, stdin=content).returncode == 0
        # Each event finds its bucket again, or its copy would be a second document.
        command("events", "send", "-", *where, stdin=content)
        assert command("verify", "--wait", "60s", *where).returncode == 0

        stored = documents(
            run.instance, "SELECT c.id, c.partitionKey FROM c WHERE c.tenantId = @tenant", tenant_id=TENANT
        )
        assert sorted(row["id"] for row in stored) == sorted(line["eventId"] for line in lines)
        partitions = {row["partitionKey"] for row in stored}
        assert len({key.rsplit(":", 1)[1] for key in partitions}) == BUCKETS
        assert all(key.startswith(f"{TENANT}:20") for key in partitions)

        def scores() -> int:
            query = "SELECT c.score FROM c WHERE c.tenantId = @tenant"
            return sum(row["score"] for row in documents(run.instance, query, tenant_id=TENANT, suffix="-profiles"))

        wait_until_sync(lambda: scores() == EVENTS, within=SOON)
