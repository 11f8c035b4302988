"""Beyond its bounds ingestion refuses at once, without touching what is overloaded.

"At once" is measured against ``/health`` of the same process at the same moment, so that a busy machine slows both.
"""

from __future__ import annotations

import asyncio
import http.client
import socket
import statistics
import threading
import time
from datetime import timedelta
from typing import TYPE_CHECKING

import msgspec
import pytest
from tests.ingestion.client import Client, page_view
from tests.ingestion.queue_contents import queue_contents
from tests.servers.ingestion import UNLIMITED, ingestion_server
from tests.servers.servicebus import servicebus_server
from tests.waiting import wait_until_sync

from cloudscale.ingestion.requests import MAXIMUM_BATCH_BYTES, MAXIMUM_BATCH_EVENTS
from cloudscale.replay.client import EventClient

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.servers.ingestion import IngestionServer
    from tests.servers.redis import RedisServer
    from tests.servers.servicebus import ServiceBusServer

IN_FLIGHT = 4
QUEUE_DEPTH = 3
SAMPLES = 40
AT_ONCE_SECONDS = 0.05
PATIENCE = timedelta(seconds=60)
NDJSON = "application/x-ndjson"


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceBusServer]:
    with servicebus_server(tmp_path_factory.mktemp("overloaded-broker")) as server:
        yield server


@pytest.fixture(scope="module")
def server(
    tmp_path_factory: pytest.TempPathFactory, broker: ServiceBusServer, cache_server: RedisServer
) -> Iterator[IngestionServer]:
    shed_above = {"inFlight": IN_FLIGHT, "queueDepth": QUEUE_DEPTH}
    spec = {"ingestion": {"rateLimits": UNLIMITED, "shedAbove": shed_above}, "queue": {"eventsPerMessage": 1}}
    directory = tmp_path_factory.mktemp("overloaded")
    with ingestion_server(directory, broker=broker, cache=cache_server, spec=spec, name="overloaded") as server:
        yield server


class Timed:
    """Times refusals and health checks on one connection that stays open."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), PATIENCE.total_seconds())

    def close(self) -> None:
        self._socket.close()

    def refusal_seconds(self, because: str) -> float | None:
        """How long a 503 took that has ``because`` in its problem; None when the answer was another one."""
        seconds, answer, content = self._exchange("POST", "/api/events", msgspec.json.encode(page_view()))
        if answer.status != 503 or because not in msgspec.json.decode(content)["detail"]:
            return None
        assert int(answer.headers["Retry-After"]) >= 1
        return seconds

    def health_seconds(self) -> float:
        """How long a health check took."""
        seconds, answer, _ = self._exchange("GET", "/health", b"")
        assert answer.status == 200
        return seconds

    def _exchange(self, method: str, path: str, body: bytes) -> tuple[float, http.client.HTTPResponse, bytes]:
        head = f"{method} {path} HTTP/1.1\r\nHost: test\r\nContent-Length: {len(body)}\r\n\r\n"
        began = time.perf_counter()
        self._socket.sendall(head.encode() + body)
        answer = http.client.HTTPResponse(self._socket, method=method)
        answer.begin()
        content = answer.read()
        return time.perf_counter() - began, answer, content


@pytest.fixture
def timed(server: IngestionServer) -> Iterator[Timed]:
    timed = Timed(server.port)
    yield timed
    timed.close()


def assert_refused_at_once(timed: Timed, because: str) -> None:
    """Refusals take no longer than health checks, and one that nothing else on the machine held up is at once."""
    refusals: list[float] = []
    checks: list[float] = []

    def measured() -> bool:
        seconds = timed.refusal_seconds(because)
        if seconds is not None:
            refusals.append(seconds)
            checks.append(timed.health_seconds())
        return len(refusals) == SAMPLES

    wait_until_sync(measured, within=PATIENCE)
    assert statistics.median(refusals) < 3 * statistics.median(checks)
    assert min(refusals) < AT_ONCE_SECONDS


def assert_a_large_request_is_refused_with_its_connection(server: IngestionServer) -> None:
    """Nobody reads its body, so the client is told not to send its next request behind it."""
    body = msgspec.json.encode(page_view(referrer="x" * 500_000))
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE.total_seconds())
    for _ in range(10):
        connection.request("POST", "/api/events", body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        assert (answer.status, answer.headers["Connection"]) == (503, "close")
        answer.read()
    connection.close()


def test_beyond_the_requests_in_flight_a_request_is_refused_at_once(
    server: IngestionServer, broker: ServiceBusServer, timed: Timed
) -> None:
    stopping = threading.Event()

    def keep_sending() -> None:
        while not stopping.is_set():
            Client(server.port).post(page_view())

    senders = [threading.Thread(target=keep_sending) for _ in range(2 * IN_FLIGHT)]
    broker.set_faults(stall=True)
    try:
        for sender in senders:
            sender.start()
        assert_refused_at_once(timed, f"{IN_FLIGHT} requests are waiting already")
    finally:
        stopping.set()
        broker.set_faults()
        for sender in senders:
            sender.join(PATIENCE.total_seconds())

    wait_until_sync(lambda: Client(server.port).post(page_view()).status == 202, within=PATIENCE)


def test_beyond_the_queues_depth_a_request_is_refused_at_once_until_the_queue_is_shorter(
    server: IngestionServer, broker: ServiceBusServer, timed: Timed
) -> None:
    because = "the queue holds"
    wait_until_sync(lambda: timed.refusal_seconds(because) is not None, within=PATIENCE)
    assert_refused_at_once(timed, because)

    assert_a_large_request_is_refused_with_its_connection(server)
    with queue_contents(broker) as queue:
        queue.drain()
        wait_until_sync(lambda: Client(server.port).post(page_view()).status == 202, within=PATIENCE)


def test_connections_that_announce_much_and_send_nothing_keep_nobody_out(
    tmp_path: Path, broker: ServiceBusServer, cache_server: RedisServer
) -> None:
    spec = {"ingestion": {"rateLimits": UNLIMITED}}
    with ingestion_server(tmp_path, broker=broker, cache=cache_server, spec=spec, name="announced") as server:
        silent = [
            notify(server.port, source=source, length=length)
            for source in ("127.0.0.2", "127.0.0.3")
            for length in (MAXIMUM_BATCH_BYTES, MAXIMUM_BATCH_BYTES, 2 * 1024 * 1024)
        ]
        try:
            client = Client(server.port)
            events = [page_view() for _ in range(500)]
            statuses = {client.post(page_view()).status for _ in range(50)} | {client.post_batch(events).status}
        finally:
            for connection in silent:
                connection.close()
    assert statuses == {202}


def notify(port: int, *, source: str, length: int, content_type: str = "application/json") -> socket.socket:
    """A connection whose request says that a body follows, and that sends none."""
    connection = socket.create_connection(("127.0.0.1", port), PATIENCE.total_seconds(), source_address=(source, 0))
    head = f"POST /api/events/batch HTTP/1.1\r\nHost: test\r\nContent-Type: {content_type}\r\nContent-Length: {length}"
    connection.sendall(f"{head}\r\n\r\n".encode())
    return connection


def test_a_client_without_a_token_is_refused_before_its_body_is_read(
    tmp_path: Path, broker: ServiceBusServer, cache_server: RedisServer
) -> None:
    spec = {"ingestion": {"rateLimits": {"perClient": {"burst": 1, "perSecond": 0.02}}}}
    with ingestion_server(tmp_path, broker=broker, cache=cache_server, spec=spec, name="exhausted") as server:
        client = Client(server.port)
        assert [client.post(page_view()).status for _ in range(2)] == [202, 429]
        refused = client.post_batch([page_view(referrer="x" * 1000) for _ in range(900)])
        assert refused.status == 429
        assert 1 <= int(refused.headers["retry-after"]) <= 50
        # Its body was longer than what the server would hold of it, and the connection is still good.
        assert refused.headers.get("connection") != "close"


def test_a_client_over_its_limit_is_told_so_after_a_body_that_was_read_in_part(
    tmp_path: Path, broker: ServiceBusServer, cache_server: RedisServer
) -> None:
    spec = {"ingestion": {"rateLimits": {"perClient": {"burst": 1, "perSecond": 0.001}}}}
    with ingestion_server(tmp_path, broker=broker, cache=cache_server, spec=spec, name="read-in-part") as server:
        assert Client(server.port).post(page_view()).status == 202
        with socket.create_connection(("127.0.0.1", server.port), PATIENCE.total_seconds()) as connection:
            connection.sendall(
                b"POST /api/events/batch HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\n"
                b"Transfer-Encoding: chunked\r\n\r\n"
            )
            for _ in range(16):
                connection.sendall(b"100000\r\n" + bytes(0x100000) + b"\r\n")
            connection.sendall(b"1\r\n \r\n")
            answer = http.client.HTTPResponse(connection, method="POST")
            answer.begin()
            assert answer.status == 429


def test_a_batch_whose_connection_breaks_is_not_taken_in_part(
    tmp_path: Path, broker: ServiceBusServer, cache_server: RedisServer
) -> None:
    with ingestion_server(tmp_path, broker=broker, cache=cache_server, name="broken-off") as server:
        events = [page_view() for _ in range(900)]
        body = b"".join(msgspec.json.encode(event) + b"\n" for event in events)
        with notify(server.port, source="127.0.0.1", length=len(body) + 1000, content_type=NDJSON) as connection:
            connection.sendall(body)
            connection.shutdown(socket.SHUT_WR)
            connection.recv(1000)
        assert Client(server.port).post_batch(body, {"Content-Type": NDJSON}).status == 202


def test_a_client_over_its_limit_of_events_cannot_have_batch_after_batch_read(
    tmp_path: Path, broker: ServiceBusServer, cache_server: RedisServer
) -> None:
    limits = {"perClient": {"burst": 3, "perSecond": 0.001, "eventsBurst": 1000, "eventsPerSecond": 0.001}}
    spec = {"ingestion": {"rateLimits": limits}}
    with ingestion_server(tmp_path, broker=broker, cache=cache_server, spec=spec, name="many-events") as server:
        client = Client(server.port)
        answers = [client.post_batch([page_view() for _ in range(900)]) for _ in range(4)]
    assert [answer.status for answer in answers] == [202, 429, 429, 429]
    assert "events at once" in answers[2].json()["detail"]
    assert "requests at once" in answers[3].json()["detail"]


async def test_a_replay_under_a_limit_of_events_waits_until_all_are_taken(
    tmp_path: Path, broker: ServiceBusServer, cache_server: RedisServer
) -> None:
    # A rate that a machine on which much else runs is over, too.
    limits = {"perClient": {"eventsBurst": MAXIMUM_BATCH_EVENTS, "eventsPerSecond": 400}}
    spec = {"ingestion": {"rateLimits": limits}}
    with ingestion_server(tmp_path, broker=broker, cache=cache_server, spec=spec, name="replayed") as server:
        batches = [[msgspec.json.encode(page_view()) for _ in range(500)] for _ in range(6)]
        async with EventClient(server.url, connections=3) as client:
            results = await asyncio.gather(*(client.send_batch(batch) for batch in batches))
        metrics = Client(server.port).request("GET", "/metrics").body.decode()
    assert {result.status for batch in results for result in batch} == {202}
    assert 'cloudscale_rate_limit_rejections_total{limit="client-events"}' in metrics
