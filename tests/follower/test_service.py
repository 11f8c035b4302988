"""The process that follows the store: what it archives is exact, however often and whenever it is killed."""

from __future__ import annotations

import gzip
import os
import random
import shutil
import subprocess
import sys
import uuid
from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from tests.absent_tools import absent
from tests.archive.archiving import events, ids_of
from tests.servers.azurite import AzuriteServer
from tests.servers.process import AnsweringServer, answers_ok, running
from tests.store.creating import create_all
from tests.waiting import wait_until

from cloudscale import pipeline
from cloudscale.archive.manifest import read_batches
from cloudscale.archive.query import ask
from cloudscale.archive.reading import bring_all, open_reading
from cloudscale.errors import BackendError, ConfigurationError
from cloudscale.local.ports import find_free_ports
from cloudscale.settings import as_environment
from cloudscale.store.events import EventStore

if TYPE_CHECKING:
    from cloudscale.settings import Settings

MINUTE = timedelta(minutes=1)
PURCHASES = Path(os.environ.get("CLOUDSCALE_PURCHASES", "absent"))


@dataclass
class FollowerProcess(AnsweringServer):
    """A follower of a store of its own."""

    settings: Settings
    spec: dict[str, Any] = field(default_factory=dict)
    port: int = 0

    @property
    def archive(self) -> Path:
        """Where it archives to."""
        return self.directory / "archive"

    @property
    def resource(self) -> pipeline.EventPipeline:
        """The pipeline that it belongs to."""
        return pipeline.load(
            {
                "apiVersion": "cloudscale.io/v1alpha1",
                "kind": "EventPipeline",
                "metadata": {"name": "shop"},
                "spec": {"archive": {"interval": "1s"}, **self.spec},
            }
        )

    def command(self) -> list[str]:
        """The program on a port of its own, with the resource written down."""
        if not self.port:
            (self.port,) = find_free_ports("127.0.0.1", 1)
        (self.directory / "pipeline.json").write_bytes(msgspec.json.encode(pipeline.as_document(self.resource)))
        return [sys.executable, "-m", "cloudscale.follower"]

    def environment(self) -> dict[str, str]:
        """Where the store is."""
        given = msgspec.structs.replace(
            self.settings, pipeline_file=str(self.directory / "pipeline.json"), metrics_port=self.port, redis_url="none"
        )
        return {**os.environ, **as_environment(given)}

    def is_ready(self) -> bool:
        """Whether it answers."""
        return answers_ok(f"http://127.0.0.1:{self.port}/ready")

    def rows(self) -> int:
        """How many events are archived."""
        return sum(batch.rows for batch in read_batches(self.archive))


@pytest.fixture
def follower(tmp_path: Path, settings: Settings) -> FollowerProcess:
    return FollowerProcess(tmp_path, settings, {"store": {"database": f"d{uuid.uuid4().hex[:12]}"}})


async def all_archived(follower: FollowerProcess, count: int) -> None:
    async def archived() -> bool:
        return follower.rows() >= count

    await wait_until(archived, within=MINUTE)


@pytest.mark.fault
@pytest.mark.parametrize("seed", range(3))
async def test_a_follower_that_is_killed_at_random_archives_each_event_once(
    follower: FollowerProcess, settings: Settings, seed: int
) -> None:
    schedule = random.Random(seed)
    count = 0
    async with EventStore(follower.resource.spec.store, settings) as store:
        await store.ensure()
        for _ in range(4):
            with running(follower):
                before = follower.rows()
                for _ in range(schedule.randrange(1, 4)):
                    await create_all(store, events(count, 100))
                    count += 100
                if schedule.random() < 0.5:
                    # Killed while it makes files, or right after.
                    await all_archived(follower, before + 1)
                follower.kill()
        with running(follower):
            await create_all(store, events(count, 10))
            await all_archived(follower, count + 10)
    assert Counter(ids_of(follower.archive)) == Counter(f"e{number}" for number in range(count + 10))


@pytest.mark.fault
@pytest.mark.parametrize("seed", range(2))
async def test_a_follower_killed_while_blob_storage_goes_and_comes_archives_each_event_once(
    follower: FollowerProcess, settings: Settings, tmp_path: Path, seed: int
) -> None:
    if shutil.which("azurite-blob") is None:
        pytest.skip(absent("azurite-blob"))
    schedule = random.Random(seed)
    follower.spec["archive"] = {
        "interval": "1s",
        "blob": {"connectionSecretRef": {"name": "blob", "key": "connectionString"}},
    }
    count = 0
    with running(AzuriteServer(tmp_path / "azurite")) as blobs:
        follower.settings = msgspec.structs.replace(settings, archive_connection_string=blobs.connection_string)
        given = msgspec.structs.replace(follower.settings, pipeline_file=str(tmp_path / "pipeline.json"))

        async def rows() -> int:
            try:
                async with open_reading(follower.resource, given) as reading:
                    return sum(batch.rows for batch in read_batches(reading.folder))
            except (BackendError, ConfigurationError):
                return 0

        async def archived(events: int) -> None:
            async def has_them() -> bool:
                return await rows() >= events

            await wait_until(has_them, within=MINUTE)

        async with EventStore(follower.resource.spec.store, settings) as store:
            await store.ensure()
            for _ in range(2):
                with running(follower):
                    before = await rows()
                    await create_all(store, events(count, 100))
                    count += 100
                    if schedule.random() < 0.5:
                        await archived(before + 1)
                    # Azurite writes its index every few seconds only: one that is killed forgets what it took.
                    blobs.stop()
                    if schedule.random() < 0.5:
                        follower.kill()
                        blobs.start()
                    else:
                        blobs.start()
                        await archived(before + 1)
                        follower.kill()
            with running(follower):
                await create_all(store, events(count, 10))
                await archived(count + 10)
        async with open_reading(follower.resource, given) as reading:
            await bring_all(reading, largest_bytes=1_000_000_000)
            assert Counter(ids_of(reading.folder)) == Counter(f"e{number}" for number in range(count + 10))


async def test_a_stop_archives_what_is_stored(follower: FollowerProcess, settings: Settings) -> None:
    follower.spec["archive"] = {"interval": "1h"}
    async with EventStore(follower.resource.spec.store, settings) as store:
        await store.ensure()
        with running(follower):
            await create_all(store, events(0, 50))
            assert follower.stop() == 0
    assert follower.rows() == 50


@pytest.mark.skipif(not PURCHASES.exists(), reason="needs the file that CLOUDSCALE_PURCHASES names")
async def test_real_purchases_have_the_same_count_and_sum_in_each_month_of_archive_and_store(
    follower: FollowerProcess, settings: Settings
) -> None:
    with gzip.open(PURCHASES, "rt") as lines:
        purchases = [msgspec.json.decode(line) for line, _ in zip(lines, range(6000), strict=False)]
    documents = [
        purchase
        | {
            "id": purchase["eventId"],
            "partitionKey": f"cdnow:{purchase['createdAt'][:7]}",
            "receivedAt": "2026-11-29T03:00:00.000000Z",
            "payloadHash": "h",
            "acceptance": "a",
        }
        for purchase in purchases
    ]
    async with EventStore(follower.resource.spec.store, settings) as store:
        await store.ensure()
        with running(follower):
            await create_all(store, documents)
            await all_archived(follower, len(documents))
        stored = await store.query_ranges(
            "SELECT LEFT(c.createdAt, 7) AS month, COUNT(1) AS events, SUM(c.amount) AS amount FROM c "
            "GROUP BY LEFT(c.createdAt, 7)",
            {},
        )
    expected: Counter[str] = Counter()
    sums: dict[str, float] = {}
    for row in stored:
        expected[row["month"]] += row["events"]
        sums[row["month"]] = sums.get(row["month"], 0.0) + row["amount"]
    statement = "SELECT strftime(createdAt, '%Y-%m'), count(*), sum(amount) FROM events GROUP BY 1"
    with ask(follower.archive, statement, within=MINUTE) as answer:
        archived = {month: (count, round(amount, 2)) for month, count, amount in answer.rows()}
    assert archived == {month: (count, round(sums[month], 2)) for month, count in expected.items()}
    assert sum(count for count, _ in archived.values()) == 6000


def test_without_an_archive_there_is_nothing_to_follow(follower: FollowerProcess) -> None:
    follower.spec["archive"] = None
    done = subprocess.run(
        follower.command(), env=follower.environment(), capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 2
    assert "follower cannot start: pipeline shop has no archive" in done.stderr
