"""Retries are safe: what got no 202 may be sent again, and ends in the queue with the same id."""

from __future__ import annotations

import gc
import os
import signal
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from redis import Redis
from tests.ingestion.client import Client, page_view
from tests.ingestion.queue_contents import queue_contents
from tests.processes import children_of
from tests.servers.ingestion import ingestion_server
from tests.servers.redis import redis_server
from tests.servers.servicebus import servicebus_server
from tests.waiting import wait_until_sync

from cloudscale.cache.keys import Keys

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.ingestion.client import Response
    from tests.ingestion.queue_contents import QueueContents
    from tests.servers.ingestion import IngestionServer
    from tests.servers.redis import RedisServer
    from tests.servers.servicebus import ServiceBusServer

RECOVERY = timedelta(seconds=30)

PLAIN = (
    "the queue has not confirmed what was sent, which may be kept or not: send it again under the same name",
    "the queue has failed too often, so no call is made at present: send the request again later",
)

# The SDK leaves a socket that the broker's end has cut to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture(autouse=True)
def collect_left_sockets() -> Iterator[None]:
    """Collect them in the test that left them, where the warning is expected."""
    yield
    gc.collect()


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceBusServer]:
    with servicebus_server(tmp_path_factory.mktemp("faulty-broker")) as server:
        yield server


@pytest.fixture(scope="module")
def queue(broker: ServiceBusServer) -> Iterator[QueueContents]:
    with queue_contents(broker) as contents:
        yield contents


@pytest.fixture(scope="module")
def cache_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with redis_server(tmp_path_factory.mktemp("faulty-cache")) as server:
        yield server


@pytest.fixture(scope="module")
def server(
    tmp_path_factory: pytest.TempPathFactory, broker: ServiceBusServer, cache_server: RedisServer
) -> Iterator[IngestionServer]:
    with ingestion_server(
        tmp_path_factory.mktemp("ingestion"), broker=broker, cache=cache_server, name="faults"
    ) as server:
        yield server


@pytest.fixture
def client(server: IngestionServer) -> Client:
    client = Client(server.port)
    accept(client, page_view())
    return client


def accept(client: Client, event: dict[str, object], headers: dict[str, str] | None = None) -> Response:
    """Send the event again and again, as a client would, until it is accepted."""
    answers: list[Response] = []

    def accepted() -> bool:
        answers.append(client.post(event, headers))
        assert answers[-1].status in (202, 503), answers[-1].body
        return answers[-1].status == 202

    wait_until_sync(accepted, within=RECOVERY, interval=timedelta(milliseconds=200))
    return answers[-1]


def is_reserved(cache_server: RedisServer, pipeline: str) -> bool:
    with Redis("127.0.0.1", port=cache_server.port) as redis:
        return bool(redis.hlen(Keys(namespace="default", name=pipeline).inflight))


def kill(server: IngestionServer) -> None:
    """End a service and its worker process as a crash of the machine would."""
    children = children_of(server.process.pid)
    for process_id in (server.process.pid, *children):
        os.kill(process_id, signal.SIGKILL)
    server.process.wait()


def test_a_broker_that_is_away_means_503_and_the_retry_is_accepted_once(
    client: Client, broker: ServiceBusServer, server: IngestionServer, queue: QueueContents
) -> None:
    queue.drain()
    event, key = page_view(), {"Idempotency-Key": uuid.uuid4().hex}
    broker.kill()
    refused = client.post(event, key)
    batch = client.post_batch([page_view()])
    broker.start()

    accept(client, event, key)

    assert (refused.status, batch.status) == (503, 503)
    assert int(refused.headers["retry-after"]) >= 1
    assert client.post(event, key).status == 409
    assert [each["id"] for each in queue.drain()].count(str(event["eventId"])) == 1
    wait_until_sync(server.is_ready, within=RECOVERY)


def test_the_breaker_answers_at_once_while_the_broker_is_away(client: Client, broker: ServiceBusServer) -> None:
    broker.kill()
    try:
        wait_until_sync(lambda: b"no call is made" in client.post(page_view()).body, within=RECOVERY)
        text = client.request("GET", "/metrics").body.decode()
    finally:
        broker.start()

    assert 'cloudscale_circuit_breaker_state{backend="servicebus"} 2.0' in text


def test_a_client_is_told_in_plain_words_that_the_queue_is_away_and_the_log_has_the_rest(
    client: Client, broker: ServiceBusServer, server: IngestionServer
) -> None:
    broker.kill()
    try:
        answers = [client.post(page_view()), client.post_batch([page_view()])]
        wait_until_sync(lambda: b"no call is made" in client.post(page_view()).body, within=RECOVERY)
    finally:
        broker.start()

    for answer in answers:
        assert answer.status == 503
        assert answer.json()["detail"] in PLAIN
    assert "cannot send 1 messages to the queue" in server.log_file.read_text()


def test_a_send_whose_answer_never_comes_is_503_and_the_retry_has_the_same_id(
    client: Client, broker: ServiceBusServer, queue: QueueContents
) -> None:
    queue.drain()
    event, key = page_view(), {"Idempotency-Key": uuid.uuid4().hex}
    broker.set_faults(dropAcknowledgements=True)
    try:
        unanswered = client.post(event, key)
    finally:
        broker.set_faults()

    accept(client, event, key)

    assert unanswered.status == 503
    copies = [each for each in queue.drain() if each["id"] == event["eventId"]]
    assert 1 <= len(copies) <= 2
    assert len({each["payloadHash"] for each in copies}) == 1


def test_redis_going_away_between_reservation_and_send_loses_nothing(
    client: Client, broker: ServiceBusServer, cache_server: RedisServer, queue: QueueContents
) -> None:
    queue.drain()
    event, key = page_view(), {"Idempotency-Key": uuid.uuid4().hex}
    broker.kill()
    try:
        refused = client.post(event, key)
        cache_server.kill()
    finally:
        broker.start()
        cache_server.start()

    accept(client, event, key)

    assert refused.status == 503
    assert [each["id"] for each in queue.drain()].count(str(event["eventId"])) == 1


def test_a_reservation_of_a_killed_process_does_not_make_its_retry_a_copy(
    broker: ServiceBusServer, cache_server: RedisServer, tmp_path_factory: pytest.TempPathFactory, queue: QueueContents
) -> None:
    queue.drain()
    event, key = page_view(), {"Idempotency-Key": uuid.uuid4().hex}
    directory = tmp_path_factory.mktemp("killed")
    with (
        ingestion_server(directory, broker=broker, cache=cache_server, name="killed") as first,
        ThreadPoolExecutor() as threads,
    ):
        broker.set_faults(stall=True)
        try:
            unanswered = threads.submit(Client(first.port).post, event, key)
            wait_until_sync(lambda: is_reserved(cache_server, "killed"), within=RECOVERY)
        finally:
            kill(first)
            broker.set_faults()
    with ingestion_server(directory, broker=broker, cache=cache_server, name="killed") as second:
        accepted = accept(Client(second.port), event, key)

    assert isinstance(unanswered.exception(), OSError)
    assert accepted.json()["id"] == event["eventId"]
    assert str(event["eventId"]) in [each["id"] for each in queue.drain()]


def test_without_redis_events_are_accepted_and_a_gauge_says_so(
    client: Client, cache_server: RedisServer, server: IngestionServer
) -> None:
    cache_server.kill()
    try:
        statuses = [client.post(page_view()).status for _ in range(20)]
        text = client.request("GET", "/metrics").body.decode()
    finally:
        cache_server.start()

    assert set(statuses) == {202}
    assert "cloudscale_cache_available 0.0" in text
    wait_until_sync(server.is_ready, within=RECOVERY)
    event = page_view()
    accept(client, event)
    wait_until_sync(lambda: client.post(event).status == 409, within=RECOVERY)


def test_sigterm_finishes_what_was_taken(
    broker: ServiceBusServer, cache_server: RedisServer, tmp_path_factory: pytest.TempPathFactory, queue: QueueContents
) -> None:
    queue.drain()
    with ingestion_server(tmp_path_factory.mktemp("term"), broker=broker, cache=cache_server, name="term") as server:
        answered = {
            str(event["eventId"])
            for event in [page_view() for _ in range(50)]
            if Client(server.port).post(event).status == 202
        }

        assert server.stop() == 0

    assert answered
    assert answered <= {each["id"] for each in queue.drain()}
