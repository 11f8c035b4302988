"""Kills each part of a pipeline while events flow: what was answered 202 is there at the end, once."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import aiohttp
import pytest
from tests.integration.facts import documents
from tests.servers.background import BackgroundRun
from tests.waiting import wait_until, wait_until_sync

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator

pytestmark = [pytest.mark.fault, pytest.mark.timeout(280)]

TENANT = "faulty"
CLIENTS = 8
EVENTS_BETWEEN_FAULTS = 400
USERS = 25
TYPES: dict[str, dict[str, object]] = {
    "page_view": {"url": "https://shop.example/"},
    "user_action": {"actionName": "look"},
    "purchase": {"actionName": "purchase", "amount": 1, "currency": "EUR"},
}
POINTS = {"page_view": 1, "user_action": 10, "purchase": 50}
RECOVERY = timedelta(seconds=60)


@pytest.fixture
def run(tmp_path: Path) -> Iterator[BackgroundRun]:
    with BackgroundRun(
        pipeline_file=Path(__file__).with_name("pipeline.yaml"), data_directory=tmp_path / "data"
    ) as running:
        yield running


class Traffic:
    """Clients that send single events, each until it has an answer that is not "come again"."""

    def __init__(self, url: str) -> None:
        self._url = f"{url}/api/v1/events"
        self._numbers = itertools.count()
        self._stopping = False
        self.accepted: set[str] = set()
        self.unexpected: Counter[int] = Counter()

    async def client(self, session: aiohttp.ClientSession) -> None:
        """Send one event after the other until :meth:`stop`."""
        while not self._stopping:
            number = next(self._numbers)
            event_type = list(TYPES)[number % len(TYPES)]
            event: dict[str, object] = {
                "eventType": event_type,
                "eventId": f"f-{number}",
                "tenantId": TENANT,
                "userId": f"user-{number % USERS}",
                **TYPES[event_type],
            }
            await self._send(session, event)

    async def _send(self, session: aiohttp.ClientSession, event: dict[str, object]) -> None:
        while True:
            try:
                async with session.post(self._url, json=event) as response:
                    status = response.status
            except (aiohttp.ClientError, TimeoutError):
                # The outcome is unknown: the same event again is what a client should send.
                status = 0
            if status in (200, 202):
                self.accepted.add(str(event["eventId"]))
                return
            if status not in (0, 503):
                self.unexpected[status] += 1
                return
            await asyncio.sleep(0.05)

    def stop(self) -> None:
        """Let every client finish its event."""
        self._stopping = True


async def test_every_accepted_event_is_stored_once_whatever_is_killed(
    run: BackgroundRun, command: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    traffic = Traffic(run.record.ingestion_url)
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=20)) as session, asyncio.TaskGroup() as group:
        for _ in range(CLIENTS):
            group.create_task(traffic.client(session))
        await _accepted_more(traffic)
        for victim in ("worker", "broker", "store", "redis"):
            await _kill(run, victim)
            await _accepted_more(traffic)
        traffic.stop()

    assert not traffic.unexpected
    proof = await asyncio.to_thread(
        command, "verify", "--wait", "120s", "--data-dir", str(run.data_directory), seconds=200
    )
    assert proof.returncode == 0, proof.stdout + proof.stderr
    stored = documents(
        run.instance, "SELECT c.id, c.userId, c.eventType FROM c WHERE c.tenantId = @tenant", tenant_id=TENANT
    )
    assert max(Counter(event["id"] for event in stored).values()) == 1
    assert traffic.accepted <= {event["id"] for event in stored}
    expected: Counter[str] = Counter()
    for event in stored:
        expected[event["userId"]] += POINTS[event["eventType"]]
    wait_until_sync(lambda: _scores(run) == expected, within=RECOVERY)
    _assert_logs_can_be_read(run)


def _assert_logs_can_be_read(run: BackgroundRun) -> None:
    """The SDK's accidents with a broker that is gone are no business of whoever reads the logs."""
    for service in ("worker", "ingestion"):
        log = (run.data_directory / "logs" / f"{service}.log").read_text()
        assert "NoneType" not in log
        assert "Traceback" not in log


def _scores(run: BackgroundRun) -> dict[str, int]:
    query = "SELECT c.userId, c.score FROM c WHERE c.tenantId = @tenant"
    rows = documents(run.instance, query, tenant_id=TENANT, suffix="-profiles")
    return {row["userId"]: row["score"] for row in rows}


async def _accepted_more(traffic: Traffic) -> None:
    goal = len(traffic.accepted) + EVENTS_BETWEEN_FAULTS

    async def reached() -> bool:
        return len(traffic.accepted) >= goal

    await wait_until(reached, within=RECOVERY)


async def _kill(run: BackgroundRun, victim: str) -> None:
    """SIGKILL a process and wait until the supervisor has said why it ended and that it is back."""
    os.kill(run.process_ids()[victim], signal.SIGKILL)

    async def back() -> bool:
        return f"{victim} ended (SIGKILL)" in run.output and f"{victim} is back" in run.output

    await wait_until(back, within=RECOVERY)
