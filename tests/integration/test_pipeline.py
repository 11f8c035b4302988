"""A whole pipeline with the resource's defaults: real purchases through it, twice, and what its commands say."""

from __future__ import annotations

import gzip
import itertools
import json
import os
import re
import signal
import stat
import urllib.request
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.integration.conftest import ROOT
from tests.integration.facts import documents, facts_of_lines, facts_of_store
from tests.waiting import wait_until_sync

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable

    from tests.servers.background import BackgroundRun

    Command = Callable[..., subprocess.CompletedProcess[str]]

pytestmark = pytest.mark.timeout(240)

WHOLE_FILE = Path(os.environ.get("CLOUDSCALE_PURCHASES", ""))
SAMPLE = ROOT / "examples" / "purchases-sample.jsonl"
PART_LINES = 5000
COPIES = 200
POINTS_OF_A_PURCHASE = 50
PRIVATE_EVENT = '{"eventType":"page_view","tenantId":"private","userId":"ada","url":"https://shop.example/"}\n'
PROJECTION_BOUND = timedelta(seconds=60)


@pytest.fixture(scope="module")
def purchases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first 5,000 of the real purchases, or the checked-in 500 where the file is not at hand; compressed."""
    path = tmp_path_factory.mktemp("purchases") / "purchases.jsonl.gz"
    with gzip.open(WHOLE_FILE) if WHOLE_FILE.is_file() else SAMPLE.open("rb") as lines, gzip.open(path, "wb") as part:
        part.writelines(itertools.islice(lines, PART_LINES))
    return path


def test_every_purchase_is_stored_once_however_often_it_is_replayed(
    pipeline: BackgroundRun, command: Command, purchases: Path
) -> None:
    lines = gzip.decompress(purchases.read_bytes()).splitlines()
    expected = facts_of_lines(lines, points=POINTS_OF_A_PURCHASE)
    where = ("--data-dir", str(pipeline.data_directory))

    first = command("events", "replay", str(purchases), *where)
    assert first.returncode == 0, first.stderr
    assert _counts(first.stdout) == (len(lines), 0)
    proof = command("verify", "--wait", "60s", *where)
    assert proof.returncode == 0, proof.stdout
    assert "zero lost" in proof.stdout
    # Profiles follow the store's change feed, so they are complete a moment after the events.
    wait_until_sync(lambda: facts_of_store(pipeline.instance, tenant_id="cdnow") == expected, within=PROJECTION_BOUND)

    again = command("events", "replay", str(purchases), *where)
    assert again.returncode == 0, again.stderr
    assert _counts(again.stdout) == (len(lines), 0)
    proof = command("verify", "--wait", "60s", *where)
    assert proof.returncode == 0, proof.stdout
    assert facts_of_store(pipeline.instance, tenant_id="cdnow") == expected


def test_copies_that_are_accepted_while_redis_does_not_answer_are_accounted_for(
    pipeline: BackgroundRun, command: Command, purchases: Path, tmp_path: Path
) -> None:
    where = ("--data-dir", str(pipeline.data_directory))
    copies = tmp_path / "copies.jsonl"
    copies.write_bytes(b"".join(gzip.decompress(purchases.read_bytes()).splitlines(keepends=True)[:COPIES]))
    assert command("events", "replay", str(copies), *where).returncode == 0
    assert command("verify", "--wait", "60s", *where).returncode == 0
    stored = facts_of_store(pipeline.instance, tenant_id="cdnow")

    redis = pipeline.process_ids()["redis"]
    os.kill(redis, signal.SIGSTOP)
    try:
        again = command("events", "replay", str(copies), *where)
    finally:
        os.kill(redis, signal.SIGCONT)

    assert f"{COPIES} accepted, 0 duplicates, 0 rejected" in again.stdout
    proof = command("verify", "--wait", "60s", *where)
    assert proof.returncode == 0, proof.stdout
    assert facts_of_store(pipeline.instance, tenant_id="cdnow") == stored


def _counts(summary: str) -> tuple[int, int]:
    """How many lines a replay says were taken, new ones and copies together, and how many were rejected.

    On a machine with more to do than it can, one may come as the other: a request is sent again when its answer is
    late, and the store drops copies when Redis is late.
    """
    found = re.search(r"([\d,]+) accepted, ([\d,]+) duplicates, ([\d,]+) rejected", summary)
    assert found is not None, summary
    accepted, duplicates, rejected = (int(number.replace(",", "")) for number in found.groups())
    return accepted + duplicates, rejected


def test_lines_without_an_identity_are_recognised_by_file_and_line(
    pipeline: BackgroundRun, command: Command, tmp_path: Path
) -> None:
    path = tmp_path / "views.jsonl"
    event = {"eventType": "page_view", "tenantId": "anonymous", "userId": "ada", "url": "https://shop.example/"}
    path.write_text("\n".join(json.dumps(event) for _ in range(20)))
    where = ("--data-dir", str(pipeline.data_directory))

    assert "20 accepted, 0 duplicates" in command("events", "replay", str(path), *where).stdout
    assert "0 accepted, 20 duplicates" in command("events", "replay", str(path), *where).stdout


def test_broken_lines_are_set_aside_and_their_neighbours_accepted(
    pipeline: BackgroundRun, command: Command, tmp_path: Path
) -> None:
    path = tmp_path / "mixed.jsonl"
    good = {"eventType": "page_view", "tenantId": "mixed", "userId": "ada", "url": "https://shop.example/"}
    lines = [json.dumps(good), "{not json", json.dumps(good | {"url": None}), "", json.dumps(good)]
    path.write_text("\n".join(lines))

    result = command("events", "replay", str(path), "--data-dir", str(pipeline.data_directory))

    assert result.returncode == 1
    assert "2 accepted, 0 duplicates, 2 rejected" in result.stdout
    rejected_path = pipeline.data_directory / "replays" / "mixed.jsonl.rejected.jsonl"
    rejected = [json.loads(line) for line in rejected_path.read_text().splitlines()]
    assert [(each["line"], each["status"], each["event"]) for each in rejected] == [
        (2, 0, lines[1]),
        (3, 400, lines[2]),
    ]


def test_events_are_read_from_the_standard_input(pipeline: BackgroundRun, command: Command) -> None:
    event = {"eventType": "page_view", "tenantId": "piped", "eventId": "p-1", "url": "https://shop.example/"}

    result = command("events", "send", "-", "--data-dir", str(pipeline.data_directory), stdin=json.dumps(event) + "\n")

    assert json.loads(result.stdout)["status"] == 202
    query = "SELECT c.id FROM c WHERE c.tenantId = @tenant"
    wait_until_sync(
        lambda: documents(pipeline.instance, query, tenant_id="piped") == [{"id": "p-1"}], within=timedelta(seconds=20)
    )


def test_a_second_run_on_the_same_directory_is_refused(pipeline: BackgroundRun, command: Command) -> None:
    result = command("run", str(ROOT / "examples" / "clickstream.yaml"), "--data-dir", str(pipeline.data_directory))
    assert result.returncode == 2
    assert f"is in use by process {pipeline.process.pid}" in result.stderr


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
    assert f"{record.dashboard_url} (the token to sign in is in " in pipeline.output
    assert Path(record.settings.dashboard_token_file).read_text().strip() not in pipeline.output
    for url in (f"{record.ingestion_url}/ready", f"{record.ingestion_url}/docs", f"{record.dashboard_url}/health"):
        with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310 (an address of ours)
            assert answer.status == 200


def test_depth_and_dead_letters_of_a_quiet_pipeline(pipeline: BackgroundRun, command: Command) -> None:
    where = ("--data-dir", str(pipeline.data_directory))

    assert command("dlq", "list", *where).stdout == "no dead letters\n"
    assert command("dlq", "show", "1", *where).stderr.startswith("error: there is no dead letter 1")
    assert "dead letters 0" in command("depth", *where).stdout
    assert '"oldestSeconds":' in command("depth", "--json", *where).stdout
    assert command("verify", "--json", "--wait", "30s", *where).returncode == 0


def test_everything_in_the_data_directory_is_its_owners_alone(pipeline: BackgroundRun, command: Command) -> None:
    where = ("--data-dir", str(pipeline.data_directory))
    assert command("events", "send", "-", *where, stdin=PRIVATE_EVENT).returncode == 0
    paths = [pipeline.data_directory, *pipeline.data_directory.rglob("*")]
    assert {"cosmos.sqlite", "cosmos.sqlite-wal", "redis.conf", "worker.log"} <= {path.name for path in paths}
    open_to_others = {
        str(path): oct(mode)
        for path in paths
        if (mode := stat.S_IMODE(path.lstat().st_mode)) != (0o700 if path.is_dir() else 0o600)
    }
    assert open_to_others == {}
