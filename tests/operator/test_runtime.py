"""The operator's work, the probe that asks for it, and what happens when it ends by itself."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import aiohttp
import kopf
import pytest
from kopf._cogs.configs.configuration import OperatorSettings
from kopf._cogs.structs.ephemera import AnyMemo
from kopf._core.actions.lifecycles import all_at_once
from kopf._core.engines.activities import run_activity
from kopf._core.engines.indexing import OperatorIndexers
from kopf._core.engines.probing import health_reporter
from kopf._core.intents.causes import Activity
from structlog.testing import capture_logs
from tests.operator.api_server import api_server
from tests.waiting import wait_until

from cloudscale.local.ports import find_free_ports
from cloudscale.tasks import cancel_and_wait
from cloudscale_operator import handlers
from cloudscale_operator.__main__ import WORK_ENDED
from cloudscale_operator.options import Options
from cloudscale_operator.runtime import Operator, running
from cloudscale_operator.timing import Timing
from cloudscale_operator.work_queue import WorkQueue

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from tests.operator.api_server import ApiServer

WAIT = timedelta(seconds=10)
AT_ONCE = Timing(settle_seconds=0.0)


@pytest.fixture
def server() -> Iterator[ApiServer]:
    with api_server() as running:
        yield running


@asynccontextmanager
async def operator(server: ApiServer, ended: asyncio.Event, *, timing: Timing = AT_ONCE) -> AsyncIterator[Operator]:
    options = Options(image="cloudscale:test")
    async with running(server.client(), options, ended=ended.set, timing=timing) as started:
        yield started


async def test_work_that_ends_by_itself_is_logged_and_ends_the_process(
    server: ApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(_: object) -> None:
        raise RuntimeError("a defect")

    monkeypatch.setattr(WorkQueue, "run", fail)
    ended = asyncio.Event()
    with capture_logs() as logs:
        async with operator(server, ended), asyncio.timeout(WAIT.total_seconds()):
            await ended.wait()
    (line,) = [line for line in logs if line["log_level"] == "critical"]
    assert line["event"] == "the operator's work has ended, and so does the process"
    assert "a defect" in repr(line["exc_info"].exceptions)


async def test_work_that_is_cancelled_by_somebody_ends_the_process_too(server: ApiServer) -> None:
    ended = asyncio.Event()
    async with operator(server, ended), asyncio.timeout(WAIT.total_seconds()):
        (work,) = [task for task in asyncio.all_tasks() if task.get_name() == "operator"]
        work.cancel()
        await ended.wait()


async def test_an_operator_that_is_stopped_does_not_call_that_an_end_of_its_own(server: ApiServer) -> None:
    ended = asyncio.Event()
    async with operator(server, ended):
        pass
    assert not ended.is_set()


async def test_a_visit_that_never_ends_is_given_up(server: ApiServer, monkeypatch: pytest.MonkeyPatch) -> None:
    async def hang(*_: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr("cloudscale_operator.reconcile.Reconciler.reconcile", hang)
    with capture_logs() as logs:
        timing = Timing(settle_seconds=0.0, visit_seconds=0.05)
        async with operator(server, asyncio.Event(), timing=timing) as at_work:
            at_work.pipeline_changed(server.add_pipeline(spec={}), deleted=False)
            await wait_until(lambda: _now(any(line["event"] == "the reconcile failed" for line in logs)), within=WAIT)


async def test_workers_without_work_show_that_they_are_there() -> None:
    async def visit(_: str) -> None:
        return None

    queue = WorkQueue(visit, timing=Timing(idle_seconds=0.05))
    longest = 0.0
    work = asyncio.create_task(queue.run())
    for _ in range(20):
        await asyncio.wait([work], timeout=0.02)
        longest = max(longest, queue.silent_seconds)
    await cancel_and_wait(work)
    assert longest < 0.35
    await wait_until(lambda: _now(queue.silent_seconds > 0.4), within=WAIT)


FAILING = """
import sys
from cloudscale_operator import __main__, work_queue

async def fail(_):
    raise RuntimeError("a defect")

work_queue.WorkQueue.run = fail
sys.exit(__main__.main())
"""


def test_the_process_ends_when_its_work_has_ended(server: ApiServer, tmp_path: Path) -> None:
    document: dict[str, Any] = {
        "clusters": [{"name": "it", "cluster": {"server": server.url}}],
        "users": [{"name": "it", "user": {}}],
        "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it"}}],
    }
    (tmp_path / "config").write_text(json.dumps(document | {"current-context": "it"}))
    health, metrics = find_free_ports("127.0.0.1", 2)
    done = subprocess.run(
        [sys.executable, "-c", FAILING, "--image=x", f"--health-port={health}", f"--metrics-port={metrics}"],
        env=os.environ | {"KUBECONFIG": str(tmp_path / "config")},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert "the operator's work has ended, and so does the process" in done.stdout + done.stderr
    assert done.returncode == WORK_ENDED, done.stderr


@asynccontextmanager
async def probed(server: ApiServer, *, timing: Timing = AT_ONCE) -> AsyncIterator[str]:
    """The address of the probe of an operator whose only watch is this test."""
    options = Options(image="cloudscale:test")
    registry = handlers.build_registry(options, ended=lambda: None, client=server.client, timing=timing)
    settings, indices, memo = OperatorSettings(), OperatorIndexers().indices, AnyMemo(kopf.Memo())

    async def run(activity: Activity) -> None:
        await run_activity(
            lifecycle=all_at_once, registry=registry, settings=settings, activity=activity, indices=indices, memo=memo
        )

    await run(Activity.STARTUP)
    (port,) = find_free_ports("127.0.0.1", 1)
    endpoint = f"http://127.0.0.1:{port}/healthz"
    ready = asyncio.Event()
    reporter = asyncio.create_task(
        health_reporter(endpoint, registry=registry, settings=settings, indices=indices, memo=memo, ready_flag=ready)
    )
    async with asyncio.timeout(WAIT.total_seconds()):
        await ready.wait()
    try:
        yield endpoint
    finally:
        await cancel_and_wait(reporter)
        await run(Activity.CLEANUP)


async def status_of(endpoint: str) -> int:
    async with aiohttp.ClientSession() as session, session.get(endpoint) as answer:
        return answer.status


async def test_the_probe_of_an_operator_at_work_succeeds(server: ApiServer) -> None:
    async with probed(server) as endpoint:
        assert await status_of(endpoint) == 200


async def test_the_probe_of_an_operator_without_a_sign_of_life_fails(server: ApiServer) -> None:
    async with probed(server, timing=Timing(settle_seconds=0.0, silent_seconds=0.0)) as endpoint:
        assert await status_of(endpoint) == 500


async def _now(value: bool) -> bool:
    return value
