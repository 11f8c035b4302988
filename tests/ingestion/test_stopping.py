"""SIGTERM: a process says that it stops, answers what it has, and is gone."""

from __future__ import annotations

import http.client
import socket
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.ingestion.client import Client, page_view
from tests.processes import has_ended
from tests.servers.ingestion import UNLIMITED, ingestion_server
from tests.waiting import wait_until_sync

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.servers.ingestion import IngestionServer
    from tests.servers.redis import RedisServer
    from tests.servers.servicebus import ServiceBusServer

SOON = timedelta(seconds=15)


@pytest.fixture
def stoppable(tmp_path: Path, broker: ServiceBusServer, cache_server: RedisServer) -> Iterator[IngestionServer]:
    with ingestion_server(
        tmp_path, broker=broker, cache=cache_server, spec={"ingestion": {"rateLimits": UNLIMITED}}, name="stopping"
    ) as server:
        yield server


def test_it_turns_unready_first_and_answers_meanwhile(stoppable: IngestionServer) -> None:
    client = Client(stoppable.port)
    stoppable.process.terminate()

    def is_draining() -> bool:
        answer = client.request("GET", "/ready")
        return answer.status == 503 and answer.json()["problems"] == ["draining"]

    wait_until_sync(is_draining, within=SOON)
    assert client.request("GET", "/health").status == 200
    assert client.post(page_view()).status == 202
    assert stoppable.process.wait(SOON.total_seconds()) == 0


def test_a_request_that_has_begun_is_answered(stoppable: IngestionServer) -> None:
    body = b'{"eventType": "page_view", "tenantId": "test", "url": "https://example.com/"}'
    connection = http.client.HTTPConnection("127.0.0.1", stoppable.port, timeout=SOON.total_seconds())
    connection.putrequest("POST", "/api/events")
    connection.putheader("Content-Type", "application/json")
    connection.putheader("Content-Length", str(len(body)))
    connection.endheaders(body[:10])
    stoppable.process.terminate()

    def is_closed() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", stoppable.port)) != 0

    wait_until_sync(is_closed, within=SOON)
    connection.send(body[10:])
    assert connection.getresponse().status == 202
    connection.close()
    assert stoppable.process.wait(SOON.total_seconds()) == 0


def test_worker_processes_end_with_a_main_process_that_is_killed(stoppable: IngestionServer) -> None:
    main = stoppable.process.pid
    workers = [int(pid) for pid in Path(f"/proc/{main}/task/{main}/children").read_text().split()]
    assert workers
    stoppable.process.kill()
    stoppable.process.wait()
    wait_until_sync(lambda: all(map(has_ended, workers)), within=timedelta(seconds=10))


@pytest.mark.fault
def test_it_ends_however_often_and_fast_it_is_told_to(stoppable: IngestionServer) -> None:
    for _ in range(500):
        stoppable.process.terminate()
    assert stoppable.process.wait(SOON.total_seconds()) == 0
