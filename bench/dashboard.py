"""``python -m bench.dashboard``: how long each page's answer takes when many events are stored.

The events are those of some shops, sent in batches as fast as they are taken. Then each answer is asked for several
times: pages by somebody who may see everything, the reading API with a key of the tenant that has the most events. The
exit code is 1 when one of them took longer than it may.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp
from tests.browser.traffic import TENANTS, event
from tests.servers.pipeline import RunningPipeline, running_pipeline

from bench import machine
from bench.pipeline import verified

RESULT = Path(__file__).resolve().parent / "results" / "dashboard.json"
EVENTS = 130_000
BUSIEST_TENANT = max(TENANTS, key=lambda tenant: TENANTS[tenant])
BATCH_EVENTS = 500
CONNECTIONS = 8
TIMES = 20
BOUND_MILLISECONDS = 500
DRAIN_SECONDS = 180
COMMAND_SECONDS = 30
ORDERING_SECONDS = 15
"""The emulator follows within some seconds when little is written."""
PAUSE_SECONDS = 1
PAUSE_BETWEEN_ANSWERS_SECONDS = 0.25
"""All together last longer than an answer is kept, so that some are found anew."""


def main() -> int:
    """Measure, print and keep the result."""
    with tempfile.TemporaryDirectory() as place, running_pipeline(Path(place)) as running:
        asyncio.run(_send(running.url))
        program = str(Path(sys.executable).with_name("cloudscale"))
        data_directory = str(running.directory / "data")
        balance = verified([program, "verify", "--data-dir", data_directory], wait_seconds=DRAIN_SECONDS)
        answers = asyncio.run(_ask_all(running))
    result = {
        "scenario": "dashboard",
        "events": balance["totals"]["persisted"],
        "times": TIMES,
        "boundMilliseconds": BOUND_MILLISECONDS,
        "answers": answers,
        "machine": machine.describe(generator=False),
    }
    RESULT.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))
    return int(any(each["slowestMilliseconds"] > BOUND_MILLISECONDS for each in answers.values()))


async def _send(url: str) -> None:
    async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as senders:
        for _ in range(CONNECTIONS):
            senders.create_task(_send_batches(session, url, batches=EVENTS // BATCH_EVENTS // CONNECTIONS + 1))


async def _send_batches(session: aiohttp.ClientSession, url: str, *, batches: int) -> None:
    for _ in range(batches):
        content = [event() for _ in range(BATCH_EVENTS)]
        while True:
            async with session.post(f"{url}/api/events/batch", json=content) as response:
                await response.read()
                if response.ok:
                    break
            # The queue is full: the workers have to come after.
            await asyncio.sleep(PAUSE_SECONDS)


async def _ask_all(running: RunningPipeline) -> dict[str, dict[str, float]]:
    headers = {"Authorization": f"Bearer {running.token}"}
    async with aiohttp.ClientSession(running.dashboard_url, headers=headers) as session:
        newest = (await _ask(session, f"/api/events?tenant={BUSIEST_TENANT}"))["events"][0]
        later = (await _ask(session, "/api/users"))["next"]
        paths = [
            *("/api/history", "/api/verification", "/api/security", "/api/users", "/api/refused", "/api/dead-letters"),
            *("/api/pipeline", "/api/events", "/api/events?suspicious=true", "/api/events?type=purchase"),
            f"/api/users?after={quote(later)}",
            f"/api/events?tenant={newest['tenantId']}",
            f"/api/events?user={newest['userId']}",
            "/api/events?user=nobody",
            # Before all of them, so that each is newer and does not count.
            "/api/events?until=2000-01-01T00:00:00Z",
            f"/api/events?correlationId={newest['correlationId']}",
            f"/api/events/{newest['eventId']}?tenant={newest['tenantId']}",
        ]
        answers = await _measured_all(session, paths, newest | {"after": quote(later)})
    headers = {"Authorization": f"Bearer {_reading_key(running, newest['tenantId'])}"}
    async with aiohttp.ClientSession(running.dashboard_url, headers=headers) as session:
        page = await _ask(session, "/api/v1/events")
        paths = [
            *("/api/v1/events", "/api/v1/events?order=asc", "/api/v1/events?suspicious=true"),
            "/api/v1/events?until=2000-01-01T00:00:00Z",
            f"/api/v1/events?user={newest['userId']}",
            f"/api/v1/events?cursor={quote(page['next'])}",
            f"/api/v1/events/{newest['eventId']}",
            f"/api/v1/users/{newest['userId']}",
        ]
        return answers | await _measured_all(session, paths, newest | {"cursor": quote(page["next"])})


def _reading_key(running: RunningPipeline, tenant: str) -> str:
    """A key with which a tenant's events can be read."""
    _printed(running, "tenants", "create", tenant)
    key = ("--tenant", tenant, "--name", "bench", "--scope", "events:read", "--expires", "1d")
    return _printed(running, "keys", "create", *key).strip()


def _printed(running: RunningPipeline, *command: str) -> str:
    """What the command line prints about a pipeline."""
    program = str(Path(sys.executable).with_name("cloudscale"))
    return subprocess.run(
        [program, *command, "--data-dir", str(running.directory / "data")],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=COMMAND_SECONDS,
    ).stdout


async def _measured_all(
    session: aiohttp.ClientSession, paths: list[str], values: dict[str, Any]
) -> dict[str, dict[str, float]]:
    """Times by path. Nothing of a first round counts: connections are opened, and the emulator orders its documents."""
    for path in paths:
        await _ask(session, path)
    await asyncio.sleep(ORDERING_SECONDS)
    return {without_values(path, values): await _measured(session, path) for path in paths}


def without_values(path: str, values: dict[str, Any]) -> str:
    """A path with the names of values in it for the values, which differ from run to run."""
    for field in ("after", "cursor", "eventId", "correlationId", "userId", "tenantId"):
        if field in values:
            path = path.replace(values[field], f"{{{field}}}")
    return path


async def _measured(session: aiohttp.ClientSession, path: str) -> dict[str, float]:
    """Milliseconds of an answer."""
    taken = []
    for _ in range(TIMES):
        await asyncio.sleep(PAUSE_BETWEEN_ANSWERS_SECONDS)
        began = time.perf_counter()
        await _ask(session, path)
        taken.append((time.perf_counter() - began) * 1000)
    return {
        "medianMilliseconds": round(statistics.median(taken), 1),
        "slowestMilliseconds": round(max(taken), 1),
    }


async def _ask(session: aiohttp.ClientSession, path: str) -> Any:
    async with session.get(path) as response:
        response.raise_for_status()
        return await response.json()


if __name__ == "__main__":
    sys.exit(main())
