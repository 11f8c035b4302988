"""A worker as its supervisor sees it: settings, health, metrics, backpressure, several at once."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from datetime import timedelta
from typing import TYPE_CHECKING

import aiohttp
from tests.processes import handles_sigterm
from tests.waiting import wait_until_sync
from tests.worker.harness import Harness, end, page_view

from cloudscale.cache.keys import keys_of
from cloudscale.errors import CredentialError
from cloudscale.queue.administration import QueueAdministration
from cloudscale.store.leases import LeaseStore
from cloudscale.telemetry import figures, metrics
from cloudscale.telemetry.http import serve

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

SOON = timedelta(seconds=15)
STOP_SECONDS = 5.0
"""Far less than a client's patience with a backend that does not answer."""


def run_with(environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "cloudscale.worker"],
        env={"PATH": os.environ["PATH"], **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_without_settings_the_worker_says_what_is_missing() -> None:
    result = run_with({})
    assert result.returncode == 2
    assert "CLOUDSCALE_PIPELINE_FILE" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_broken_resource_ends_the_worker_with_its_problems(tmp_path: Path) -> None:
    file = tmp_path / "pipeline.yaml"
    file.write_text(
        "apiVersion: cloudscale.io/v1alpha1\nkind: EventPipeline\nmetadata: {name: x}\nspec: {queue: {nme: 1}}\n"
    )
    result = run_with({"CLOUDSCALE_PIPELINE_FILE": str(file), "CLOUDSCALE_REDIS_URL": "redis://127.0.0.1:1/0"})
    assert result.returncode == 2
    assert "spec.queue" in result.stderr


async def test_health_readiness_and_metrics_are_served() -> None:
    problems: list[str] = ["not connected to the broker"]
    async with serve("127.0.0.1", 0, unready=lambda: problems) as port, aiohttp.ClientSession() as session:
        base = f"http://127.0.0.1:{port}"
        async with session.get(f"{base}/health") as answer:
            assert answer.status == 200
        async with session.get(f"{base}/ready") as answer:
            assert (answer.status, (await answer.json())["problems"]) == (503, problems)
        problems = []
        async with session.get(f"{base}/ready") as answer:
            assert answer.status == 200
        async with session.get(f"{base}/metrics") as answer:
            assert answer.headers["Content-Type"] == metrics.CONTENT_TYPE
            assert "cloudscale_events_persisted_total" in await answer.text()


async def test_a_worker_becomes_ready_and_stops_when_told(harness: Harness) -> None:
    async with harness.worker() as worker:

        async def ready() -> bool:
            return worker.unready() == []

        await harness.until(ready)
    assert "stopping" in worker.unready()


async def test_a_worker_that_may_not_manage_the_queue_works_on_one_that_is_there(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(_self: QueueAdministration) -> bool:
        raise CredentialError("the management API refuses the credential")

    monkeypatch.setattr(QueueAdministration, "ensure_queue", refuse)
    async with harness.worker() as worker:

        async def ready() -> bool:
            return worker.unready() == []

        await harness.until(ready)


async def test_a_worker_that_finds_no_store_waits_for_it_and_can_be_told_to_stop(harness: Harness) -> None:
    harness.backends.cosmos.set_faults(failRatio=1.0)
    try:
        async with harness.worker() as worker:

            async def serving() -> bool:
                return "not connected to the broker" in worker.unready()

            await harness.until(serving)
    finally:
        harness.backends.cosmos.set_faults()


async def test_a_worker_whose_store_does_not_answer_stops_when_told(harness: Harness) -> None:
    harness.backends.cosmos.set_faults(stall=True)
    try:
        async with harness.worker() as worker:

            async def serving() -> bool:
                return "not connected to the broker" in worker.unready()

            await harness.until(serving)
            told_at = time.monotonic()
        assert time.monotonic() - told_at < STOP_SECONDS
    finally:
        harness.backends.cosmos.set_faults()


async def test_a_worker_told_to_stop_before_it_has_begun_processes_nothing(harness: Harness) -> None:
    await harness.send(await harness.accept([page_view()]))
    async with harness.worker() as worker:
        worker.stopping.set()
    told = harness.start_process()
    wait_until_sync(lambda: handles_sigterm(told.pid), within=SOON)
    assert end(told) == 0
    assert await harness.store.count() == 0
    assert (await harness.administration.depth()).active == 1


async def test_concurrency_follows_the_depth_of_the_queue(harness: Harness) -> None:
    harness.processing["concurrency"] = {
        "steps": [{"depth": 0, "limit": 32}, {"depth": 20, "limit": 1}],
        "restoreBelow": 5,
        "interval": "1s",
    }
    for _ in range(60):
        await harness.send(await harness.accept([page_view()]))
    harness.backends.cosmos.set_faults(delayMilliseconds=100)
    limits: set[float] = set()
    try:
        async with harness.worker():

            async def restored() -> bool:
                limits.add(metrics.CONCURRENCY_LIMIT._value.get())
                return len(limits) == 2 and metrics.CONCURRENCY_LIMIT._value.get() == 32

            await harness.until(restored)
    finally:
        harness.backends.cosmos.set_faults()
    assert limits == {1, 32}


async def test_two_workers_share_the_queue_and_the_feed(harness: Harness) -> None:
    for _ in range(30):
        await harness.send(await harness.accept([page_view(f"u{number}") for number in range(10)]))
    first, second = harness.start_process(), harness.start_process()
    try:
        await harness.stored(300)
        await harness.settled()

        async def caught_up() -> bool:
            return sum(profile.events for profile in await harness.profiles.top(limit=100)) == 300

        await harness.until(caught_up)
    finally:
        assert (end(first), end(second)) == (0, 0)
    assert [profile.score for profile in await harness.profiles.top(limit=100)] == [30] * 10


async def test_a_worker_publishes_its_figures_under_the_name_that_owns_its_leases(harness: Harness) -> None:
    async with harness.worker() as worker:
        leases, key = LeaseStore(harness.store), keys_of(harness.resource).figures

        async def owns_and_publishes() -> bool:
            owners = {lease.owner for lease in await leases.all()}
            processes = {each.process for each in await figures.read_all(harness.cache, key=key)}
            return owners == processes == {worker.process}

        await harness.until(owns_and_publishes, within=SOON)
