"""``python -m bench.dashboard``: how long each page's answer takes when many events are stored.

The events are those of some shops, sent in batches as fast as they are taken. Then each answer is asked for several
times, by somebody who may see everything. The exit code is 1 when one of them took longer than it may.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import aiohttp
from tests.browser.traffic import event
from tests.servers.pipeline import RunningPipeline, running_pipeline

from bench import machine
from bench.pipeline import verified

RESULT = Path(__file__).resolve().parent / "results" / "dashboard.json"
EVENTS = 130_000
BATCH_EVENTS = 500
CONNECTIONS = 8
TIMES = 20
BOUND_MILLISECONDS = 500
DRAIN_SECONDS = 180
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
        newest = (await _ask(session, "/api/events"))["events"][0]
        paths = [
            *("/api/history", "/api/verification", "/api/security", "/api/users", "/api/refused", "/api/dead-letters"),
            *("/api/pipeline", "/api/events", "/api/events?suspicious=true", "/api/events?type=purchase"),
            f"/api/events?tenant={newest['tenantId']}",
            f"/api/events?user={newest['userId']}",
            "/api/events?user=nobody",
            f"/api/events?correlationId={newest['correlationId']}",
            f"/api/events/{newest['eventId']}?tenant={newest['tenantId']}",
        ]
        return {without_values(path, newest): await _measured(session, path) for path in paths}


def without_values(path: str, event: dict[str, Any]) -> str:
    """A path about an event with its fields' names for their values, which differ from run to run."""
    for field in ("eventId", "correlationId", "userId", "tenantId"):
        path = path.replace(event[field], f"{{{field}}}")
    return path


async def _measured(session: aiohttp.ClientSession, path: str) -> dict[str, float]:
    """Milliseconds of an answer; the first request opens the connections to the backends and is not counted."""
    await _ask(session, path)
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
