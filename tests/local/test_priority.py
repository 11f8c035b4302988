"""What works behind the queue gives way to requests until events wait for long."""

from __future__ import annotations

import asyncio
import itertools
import os
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import aiohttp
import pytest
from redis.asyncio import Redis
from tests.processes import children_of
from tests.servers.pipeline import running_pipeline
from tests.waiting import wait_until

from cloudscale.cache.keys import keys_of
from cloudscale.local.priority import (
    CAUGHT_UP_SECONDS,
    LATE_SECONDS,
    QUIET_SECONDS,
    Priorities,
    PriorityPolicy,
    initial_niceness,
    set_niceness,
)
from cloudscale.local.process import ProcessPlan
from cloudscale.local.supervisor import Supervisor
from cloudscale.tasks import cancel_and_wait, start_task

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.servers.redis import RedisServer

SOON = timedelta(seconds=15)
SENDERS = 32
UNTIL_LATE = timedelta(seconds=90)
UNTIL_ENDED = timedelta(seconds=90)
RATE = 225
LOAD_SECONDS = 45
LAG_SECONDS = 40
"""Giving way ends 10 seconds after the first event waits; what waits by then is worked off faster than more comes. A
worker that gets nothing done leaves the first event waiting for the whole load."""


@pytest.fixture
def process() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


async def test_giving_way_ends_when_events_wait_for_long_and_begins_again_when_they_do_not(
    cache_server: RedisServer,
) -> None:
    said: list[str] = []
    now = 0.0
    async with Redis.from_url(cache_server.url) as redis:
        policy = PriorityPolicy(redis, "inflight", apply=lambda _: None, notify=said.append, clock=lambda: now)

        def gives_way(waiting_seconds: float, *, at: float) -> bool:
            nonlocal now
            now = at
            policy.decide(waiting_seconds)
            return policy.gives_way

        assert gives_way(0, at=1)
        assert gives_way(LATE_SECONDS, at=2)
        assert not gives_way(LATE_SECONDS + 1, at=3)
        assert not gives_way(CAUGHT_UP_SECONDS, at=4)
        assert not gives_way(CAUGHT_UP_SECONDS + 1, at=QUIET_SECONDS)
        assert not gives_way(0, at=2 * QUIET_SECONDS - 1)
        assert gives_way(0, at=2 * QUIET_SECONDS)
    assert len(said) == 1


def test_a_niceness_is_set_and_taken_back(process: subprocess.Popen[bytes]) -> None:
    set_niceness(process.pid, 7)
    assert os.getpriority(os.PRIO_PROCESS, process.pid) == 7
    if initial_niceness(15) == 15:
        set_niceness(process.pid, 0)
        assert os.getpriority(os.PRIO_PROCESS, process.pid) == 0


async def test_a_process_gives_way_when_it_is_ready_and_not_while_it_starts(tmp_path: Path) -> None:
    """Beside programs that keep the processors busy, a start that gives way misses its deadline."""
    is_ready = asyncio.Event()

    class WhenTold:
        async def succeeds(self) -> bool:
            return is_ready.is_set()

    plan = ProcessPlan(
        name="behind",
        command=(sys.executable, "-c", "import time; time.sleep(600)"),
        ready=WhenTold(),
        alive=WhenTold(),
        stage=0,
        niceness=7,
    )
    supervisor = Supervisor([plan], log_directory=tmp_path, notify=lambda _: None)
    priorities = Priorities(supervisor.processes)
    supervised = supervisor.processes["behind"]

    async def has_started() -> bool:
        return supervised.child is not None

    def niceness() -> int:
        assert supervised.child is not None
        return os.getpriority(os.PRIO_PROCESS, supervised.child.pid)

    entering = asyncio.create_task(supervisor.__aenter__())
    try:
        await wait_until(has_started, within=SOON)
        priorities.apply(gives_way=True)
        assert niceness() == os.getpriority(os.PRIO_PROCESS, 0)
        is_ready.set()
        await entering
        priorities.apply(gives_way=True)
        assert niceness() == max(7, os.getpriority(os.PRIO_PROCESS, 0))
    finally:
        await cancel_and_wait(entering)
        await supervisor.__aexit__()


def test_a_process_that_has_ended_costs_nothing(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
    set_niceness(process.pid, 7)


@pytest.fixture
def two_busy_loops() -> Iterator[None]:
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"], start_new_session=True) for _ in range(2)]
    try:
        yield
    finally:
        for process in busy:
            process.kill()
            process.wait()


def _child_that_runs(module: str, *, of: int) -> int:
    return next(each for each in children_of(of) if module in Path(f"/proc/{each}/cmdline").read_text())


@pytest.mark.fault
@pytest.mark.alone
@pytest.mark.timeout(240)
async def test_beside_two_busy_loops_events_do_not_wait_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    monkeypatch.delenv("CLOUDSCALE_NICENESS")
    with running_pipeline(tmp_path / "run") as pipeline:
        request.getfixturevalue("two_busy_loops")
        instance = pipeline.instance
        worker = _child_that_runs("cloudscale.worker", of=pipeline.process.pid)
        own_niceness = os.getpriority(os.PRIO_PROCESS, 0)

        async def gives_way() -> bool:
            return os.getpriority(os.PRIO_PROCESS, worker) > own_niceness

        async def gives_way_no_more() -> bool:
            return not await gives_way()

        async with Redis.from_url(instance.settings.redis_url) as redis, aiohttp.ClientSession() as session:
            key = keys_of(instance.pipeline).inflight

            async def send_one_after_the_other() -> None:
                event = {"eventType": "page_view", "tenantId": "t1", "url": "https://shop.example/"}
                while True:
                    async with session.post(f"{pipeline.url}/api/events", json=event) as answer:
                        assert answer.status in {202, 429, 503}

            async def all_have_ended() -> bool:
                return not await redis.hlen(key)

            await wait_until(gives_way, within=SOON)
            senders = [start_task(send_one_after_the_other(), name="sender") for _ in range(SENDERS)]
            try:
                await wait_until(gives_way_no_more, within=UNTIL_LATE)
            finally:
                await cancel_and_wait(*senders)
            assert all(sender.cancelled() for sender in senders)
            await wait_until(all_have_ended, within=UNTIL_ENDED)
            assert not await gives_way()


async def _waiting_seconds(redis: Redis, key: str) -> float:
    """How long ago the oldest event was accepted that has not ended."""
    accepted = [float(value[1:]) / 1000 for value in await redis.hvals(key)]
    return time.time() - min(accepted) if accepted else 0.0


@pytest.mark.fault
@pytest.mark.alone
@pytest.mark.timeout(300)
async def test_beside_two_busy_loops_the_lag_of_225_events_a_second_is_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    monkeypatch.delenv("CLOUDSCALE_NICENESS")
    with running_pipeline(tmp_path / "run") as pipeline:
        request.getfixturevalue("two_busy_loops")
        instance = pipeline.instance
        async with Redis.from_url(instance.settings.redis_url) as redis, aiohttp.ClientSession() as session:
            key = keys_of(instance.pipeline).inflight
            began = time.monotonic()
            numbers = itertools.count()

            async def send_in_turn() -> None:
                event = {"eventType": "page_view", "tenantId": "t1", "url": "https://shop.example/"}
                for number in numbers:
                    due = began + number / RATE
                    if due - began > LOAD_SECONDS:
                        return
                    await asyncio.sleep(due - time.monotonic())
                    async with session.post(f"{pipeline.url}/api/events", json=event) as answer:
                        assert answer.status == 202

            senders = asyncio.gather(*(send_in_turn() for _ in range(SENDERS)))
            lags: list[float] = []
            while not senders.done():
                await asyncio.wait([senders], timeout=1)
                lags.append(await _waiting_seconds(redis, key))
            await senders
    assert max(lags) < LAG_SECONDS, lags
