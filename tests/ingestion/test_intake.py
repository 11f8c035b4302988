"""What a client gets for good events, copies and too many requests."""

from __future__ import annotations

import gzip
import http.client
import time
import uuid
from typing import TYPE_CHECKING, cast

import msgspec
import pytest
from tests.ingestion.client import Client, page_view
from tests.servers.ingestion import UNLIMITED, ingestion_server

from cloudscale.events.types import EventTypes
from cloudscale.ingestion.intake import Intake
from cloudscale.pipeline import Ingestion
from cloudscale.telemetry import metrics

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.ingestion.queue_contents import QueueContents
    from tests.servers.ingestion import IngestionServer
    from tests.servers.redis import RedisServer
    from tests.servers.servicebus import ServiceBusServer

    from cloudscale.ingestion.group_commit import GroupCommit
    from cloudscale.ingestion.queue_depth import RecentQueueDepth


def test_an_accepted_event_is_in_the_queue_with_what_the_pipeline_knows_of_it(
    client: Client, queue: QueueContents
) -> None:
    event = page_view(createdAt="1997-01-31T23:30:00-01:00", unknown={"kept": [1, None]})

    response = client.post(event, {"X-Correlation-Id": "abc-1"})

    assert response.status == 202
    assert response.json() == {"id": event["eventId"], "correlationId": "abc-1"}
    assert response.headers["x-correlation-id"] == "abc-1"
    queued = next(each for each in queue.drain() if each["id"] == event["eventId"])
    assert queued["partitionKey"] == "test:1997-02"
    assert queued["createdAt"] == "1997-02-01T00:30:00.000000Z"
    assert queued["clientAddress"] == "127.0.0.1"
    assert queued["unknown"] == {"kept": [1, None]}
    assert {"receivedAt", "payloadHash", "acceptance", "schemaVersion", "metadata"} <= queued.keys()


@pytest.mark.parametrize(
    ("header", "own", "answered", "kept"),
    [("h", "e", "h", "e"), ("h", None, "h", "h"), (None, "e", "e", "e")],
)
def test_the_header_names_the_request_and_the_events_own_id_the_event(
    client: Client, header: str | None, own: str | None, answered: str, kept: str
) -> None:
    event = page_view(correlationId=own) if own else page_view()

    response = client.post(event, {"X-Correlation-Id": header} if header else None)

    assert response.headers["x-correlation-id"] == answered
    assert response.json()["correlationId"] == kept


def test_a_request_without_any_correlation_id_gets_one(client: Client) -> None:
    response = client.post(page_view())

    assert len(response.json()["correlationId"]) == 32
    assert response.headers["x-correlation-id"] == response.json()["correlationId"]


@pytest.mark.parametrize("path", ["/api/events", "/api/v1/events"])
def test_both_addresses_take_events(client: Client, path: str) -> None:
    assert client.post(page_view(), path=path).status == 202


def test_an_event_without_an_id_gets_one(client: Client) -> None:
    event = page_view()
    del event["eventId"]

    assert len(client.post(event).json()["id"]) == 32


def test_a_copy_is_answered_with_the_first_id(client: Client) -> None:
    event = page_view()
    key = {"Idempotency-Key": uuid.uuid4().hex}
    first = client.post({**event, "eventId": "first-" + event["eventId"]}, key)

    copy = client.post({**event, "eventId": "first-" + event["eventId"]}, key)

    assert (first.status, copy.status) == (202, 409)
    assert copy.json()["id"] == first.json()["id"]


def test_the_same_payload_in_another_order_is_a_copy(client: Client) -> None:
    event = page_view(createdAt="2026-01-01T00:00:00Z")
    client.post(event)

    assert client.post(dict(reversed(event.items()))).status == 409


def test_the_same_key_with_another_payload_is_a_conflict(client: Client) -> None:
    event = page_view()
    client.post(event)

    assert client.post({**event, "url": "https://example.com/other"}).status == 422


def test_an_event_under_another_key_and_with_a_time_in_another_month_is_a_conflict(
    client: Client, queue: QueueContents
) -> None:
    event = page_view(createdAt="2026-01-31T23:59:59Z")
    client.post(event, {"Idempotency-Key": uuid.uuid4().hex})

    other = client.post({**event, "createdAt": "2026-02-01T00:00:00Z"}, {"Idempotency-Key": uuid.uuid4().hex})

    assert other.status == 422
    assert [each["id"] for each in queue.drain()].count(event["eventId"]) == 1


def test_the_same_event_under_another_key_is_a_copy(client: Client) -> None:
    event = page_view()
    statuses = [client.post(event, {"Idempotency-Key": uuid.uuid4().hex}).status for _ in range(2)]

    assert [*statuses, client.post(event).status] == [202, 409, 409]


def test_a_key_that_looks_like_the_name_of_an_event_id_is_not_taken_for_one(client: Client) -> None:
    event = page_view()
    key = f"e:{event['eventId']}"
    other = page_view()

    assert client.post(other, {"Idempotency-Key": key}).status == 202
    assert client.post(event).status == 202


def test_a_source_is_not_taken_for_a_tenant_nor_its_id_for_a_key(client: Client) -> None:
    tenant, key = f"t{uuid.uuid4().hex}", uuid.uuid4().hex
    event = {"eventType": "page_view", "tenantId": tenant, "url": "https://shop.example/"}
    envelope = {
        "specversion": "1.0",
        "type": "com.cloudscale.page_view",
        "id": key,
        "source": tenant,
        "data": {"tenantId": tenant, "url": "https://shop.example/"},
    }

    by_key = client.post(event, {"Idempotency-Key": key})
    by_source = client.post(envelope, {"Content-Type": "application/cloudevents+json"})

    assert (by_key.status, by_source.status) == (202, 202)
    assert by_key.json()["id"] != by_source.json()["id"]


def test_an_id_that_a_client_was_told_names_its_event(client: Client) -> None:
    event = page_view()
    del event["eventId"]
    told = client.post(event, {"Idempotency-Key": uuid.uuid4().hex}).json()["id"]

    assert client.post({**event, "eventId": told}).status == 422


def test_the_same_key_of_another_tenant_is_something_else(client: Client) -> None:
    event = page_view()
    client.post(event)

    assert client.post({**event, "tenantId": "other"}).status == 202


def test_an_event_of_a_type_that_the_resource_adds_is_checked_against_its_schema(
    client: Client, queue: QueueContents
) -> None:
    event = {"eventType": "order_shipped", "tenantId": "test", "eventId": uuid.uuid4().hex, "orderId": "17"}

    accepted, refused = client.post(event), client.post({**event, "orderId": 17})

    assert accepted.status == 202
    assert [error["pointer"] for error in refused.json()["errors"]] == ["/orderId"]
    assert event["eventId"] in {each["id"] for each in queue.drain()}


def test_a_retry_without_an_event_id_gets_the_id_of_its_key(client: Client) -> None:
    event = page_view()
    del event["eventId"]
    key = {"Idempotency-Key": uuid.uuid4().hex}

    assert client.post(event, key).json()["id"] == client.post(event, key).json()["id"]


def test_a_structured_cloud_event_is_accepted_once_by_source_and_id(client: Client, queue: QueueContents) -> None:
    envelope = {
        "specversion": "1.0",
        "type": "com.cloudscale.page_view",
        "id": uuid.uuid4().hex,
        "source": "https://shop.example/frontend",
        "time": "2026-03-01T10:00:00Z",
        "tenantid": "shop",
        "data": {"url": "https://shop.example/"},
    }
    headers = {"Content-Type": "application/cloudevents+json"}

    first, copy = client.post(envelope, headers), client.post(envelope, headers)

    assert (first.status, copy.status) == (202, 409), first.body
    queued = next(each for each in queue.drain() if each["id"] == first.json()["id"])
    assert queued["eventType"] == "page_view"
    assert queued["tenantId"] == "shop"
    assert queued["createdAt"] == "2026-03-01T10:00:00.000000Z"
    assert queued["cloudEvent"] == {"id": envelope["id"], "source": "https://shop.example/frontend"}


def test_a_binary_cloud_event_is_accepted(client: Client) -> None:
    headers = {
        "ce-specversion": "1.0",
        "ce-type": "com.cloudscale.page_view",
        "ce-id": uuid.uuid4().hex,
        "ce-source": "/frontend",
        "ce-tenantid": "shop",
    }

    assert client.post({"url": "https://shop.example/"}, headers).status == 202


def test_a_batch_of_cloud_events_is_accepted(client: Client) -> None:
    envelopes = [
        {
            "specversion": "1.0",
            "type": "com.cloudscale.page_view",
            "id": uuid.uuid4().hex,
            "source": "s",
            "data": {"tenantId": "shop", "url": "u"},
        }
        for _ in range(3)
    ]

    response = client.post_batch(envelopes, {"Content-Type": "application/cloudevents-batch+json"})

    assert response.status == 202, response.body
    assert response.json()["accepted"] == 3


def test_a_batch_of_a_thousand_events_is_in_the_queue(client: Client, queue: QueueContents) -> None:
    queue.drain()
    events = [page_view() for _ in range(1000)]

    response = client.post_batch(events)

    assert response.status == 202
    assert response.json()["accepted"] == 1000
    assert {each["id"] for each in queue.drain()} == {event["eventId"] for event in events}


def test_a_gzip_batch_of_lines_is_accepted(client: Client) -> None:
    lines = b"\n".join(msgspec.json.encode(page_view()) for _ in range(50))
    headers = {"Content-Type": "application/x-ndjson", "Content-Encoding": "gzip"}

    assert client.post_batch(gzip.compress(lines), headers).json()["accepted"] == 50


@pytest.mark.parametrize("coding", ["GZIP", "Gzip", "x-gzip", "identity, gzip", "gzip,"])
def test_a_content_encoding_is_understood_however_it_is_written(client: Client, coding: str) -> None:
    assert client.post(gzip.compress(msgspec.json.encode(page_view())), {"Content-Encoding": coding}).status == 202


@pytest.mark.parametrize("coding", ["IDENTITY", ",", ""])
def test_a_body_without_encoding_may_say_so(client: Client, coding: str) -> None:
    assert client.post(page_view(), {"Content-Encoding": coding}).status == 202


def test_a_gzip_body_of_several_members_is_read_to_its_end(client: Client) -> None:
    lines = [msgspec.json.encode(page_view()) + b"\n" for _ in range(3)]
    body = b"".join(map(gzip.compress, lines)) + b"\0" * 100
    headers = {"Content-Encoding": "gzip", "Content-Type": "application/x-ndjson"}

    assert client.post_batch(body, headers).json()["accepted"] == 3


@pytest.mark.parametrize("batch", [False, True])
def test_a_byte_order_mark_is_ignored(client: Client, batch: bool) -> None:
    body = b"\xef\xbb\xbf" + msgspec.json.encode(page_view())

    response = client.post_batch(body, {"Content-Type": "application/x-ndjson"}) if batch else client.post(body)

    assert response.status == 202, response.body


def test_a_key_in_quotes_is_the_key_between_them(client: Client) -> None:
    event, key = page_view(), uuid.uuid4().hex

    assert client.post(event, {"Idempotency-Key": key}).status == 202

    assert client.post(event, {"Idempotency-Key": f'"{key}"'}).status == 409
    assert client.post(page_view(url="https://other/"), {"Idempotency-Key": f'"{key}"'}).status == 422


def test_a_key_in_quotes_may_have_spaces_and_escaped_quotes(client: Client) -> None:
    event, key = page_view(), f'"a \\"b\\" {uuid.uuid4().hex}"'

    assert client.post(event, {"Idempotency-Key": key}).status == 202

    assert client.post(event, {"Idempotency-Key": key}).status == 409


def test_two_idempotency_keys_are_refused(client: Client) -> None:
    response = client.post_lines(page_view(), [("Idempotency-Key", "a"), ("Idempotency-Key", "b")])

    assert response.status == 400
    assert "one key" in response.json()["detail"]


def test_a_cloud_events_header_that_is_not_ascii_is_refused_by_name(client: Client) -> None:
    headers = [("ce-specversion", "1.0"), ("ce-type", "com.cloudscale.page_view"), ("ce-id", uuid.uuid4().hex)]

    response = client.post_lines(page_view(), [*headers, ("ce-source", "/s"), ("ce-subject", "Grüße")])

    assert response.status == 400
    assert response.json()["errors"][0]["pointer"] == "ce-subject"


def test_a_batch_of_no_cloud_events_is_answered_as_one(client: Client) -> None:
    response = client.post_batch(b"[]", {"Content-Type": "application/cloudevents-batch+json"})

    assert (response.status, response.json()["results"]) == (202, [])


def test_an_event_that_stands_twice_in_a_batch_is_sent_once(client: Client, queue: QueueContents) -> None:
    queue.drain()
    event = page_view()

    response = client.post_batch([event, event, {**event, "url": "https://example.com/other"}])

    assert [result["status"] for result in response.json()["results"]] == [202, 409, 422]
    assert [each["id"] for each in queue.drain()] == [event["eventId"]]


def test_an_event_id_that_stands_twice_in_a_batch_with_a_key_is_sent_once(client: Client, queue: QueueContents) -> None:
    event = page_view()
    batch = [event, event, {**event, "url": "https://example.com/other"}]

    response = client.post(batch, {"Idempotency-Key": uuid.uuid4().hex}, path="/api/events/batch")

    assert [item["status"] for item in response.json()["results"]] == [202, 409, 422]
    assert [each["id"] for each in queue.drain()].count(event["eventId"]) == 1


def test_a_repeated_batch_is_answered_event_by_event(client: Client) -> None:
    events = [page_view() for _ in range(3)]
    client.post_batch(events)

    response = client.post_batch([*events, page_view()])

    assert response.status == 207
    assert [result["status"] for result in response.json()["results"]] == [409, 409, 409, 202]
    assert response.json()["duplicates"] == 3


def test_an_idempotency_key_makes_a_whole_batch_repeatable(client: Client) -> None:
    events = [{"eventType": "page_view", "tenantId": "test", "url": "u"} for _ in range(3)]
    key = {"Idempotency-Key": uuid.uuid4().hex}

    first, second = client.post_batch(events, key), client.post_batch(events, key)

    assert [each["id"] for each in first.json()["results"]] == [each["id"] for each in second.json()["results"]]
    assert second.json()["duplicates"] == 3


@pytest.fixture(scope="module")
def strict(
    tmp_path_factory: pytest.TempPathFactory, broker: ServiceBusServer, cache_server: RedisServer
) -> Iterator[IngestionServer]:
    """A service that allows little, skips copies, and trusts the proxy at 127.0.0.2."""
    limits = {"perClient": {"burst": 5, "perSecond": 0.01}, "global": {"limit": 1000, "window": "60s"}}
    ingestion = {
        "rateLimits": limits,
        "idempotency": {"onDuplicate": "Skip"},
        "trustedProxies": ["127.0.0.2/32"],
    }
    with ingestion_server(
        tmp_path_factory.mktemp("strict"),
        broker=broker,
        cache=cache_server,
        spec={"ingestion": ingestion},
        name="strict",
    ) as server:
        yield server


def test_copies_are_skipped_when_the_resource_says_so(strict: IngestionServer) -> None:
    client = Client(strict.port, "127.0.0.3")
    event = page_view()

    first, copy = client.post(event), client.post(event)

    assert copy.status == 200
    assert copy.json() == {
        "id": first.json()["id"],
        "correlationId": copy.json()["correlationId"],
        "duplicate": True,
    }
    assert client.post_batch([event]).status == 202


def test_a_client_is_held_to_its_burst_whatever_it_sends(strict: IngestionServer) -> None:
    client = Client(strict.port, "127.0.0.4")

    answers = [client.post(page_view()) for _ in range(3)]
    answers += [client.post(b"{"), client.post_batch([page_view(), page_view()])]
    refused = [client.post(page_view()), client.post(b"{"), client.post(page_view(), {"Content-Type": "text/xml"})]

    assert [answer.status for answer in answers] == [202, 202, 202, 400, 202]
    assert [answer.headers["ratelimit-remaining"] for answer in answers] == ["4", "3", "2", "1", "0"]
    assert [answer.status for answer in refused] == [429, 429, 429]
    assert all(int(answer.headers["retry-after"]) >= 60 for answer in refused)
    assert refused[0].headers["content-type"] == "application/problem+json"


def test_a_forwarded_address_does_not_help_a_client_that_is_no_trusted_proxy(strict: IngestionServer) -> None:
    client = Client(strict.port, "127.0.0.5")

    statuses = [client.post(page_view(), {"X-Forwarded-For": f"192.0.2.{host}"}).status for host in range(6)]

    assert statuses == [202, 202, 202, 202, 202, 429]


def test_behind_a_trusted_proxy_an_ipv6_network_has_one_burst(strict: IngestionServer) -> None:
    proxy = Client(strict.port, "127.0.0.2")

    statuses = [proxy.post(page_view(), {"X-Forwarded-For": f"2001:db8:1:1::{host:x}"}).status for host in range(6)]

    assert statuses == [202, 202, 202, 202, 202, 429]


def test_behind_a_trusted_proxy_each_client_has_its_own_burst(strict: IngestionServer) -> None:
    proxy = Client(strict.port, "127.0.0.2")

    statuses = [proxy.post(page_view(), {"X-Forwarded-For": f"198.51.100.{host}"}).status for host in range(7)]

    assert statuses == [202] * 7


def test_a_line_that_the_client_put_before_the_proxys_own_is_not_believed(strict: IngestionServer) -> None:
    statuses = []
    for host in range(6):
        body = msgspec.json.encode(page_view())
        connection = http.client.HTTPConnection("127.0.0.1", strict.port, source_address=("127.0.0.2", 0), timeout=30)
        connection.putrequest("POST", "/api/events")
        for value in (f"192.0.2.{host}", "203.0.113.9"):
            connection.putheader("X-Forwarded-For", value)
        connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body)
        statuses.append(connection.getresponse().status)
        connection.close()

    assert statuses == [202, 202, 202, 202, 202, 429]


def test_all_clients_together_are_held_to_the_window(
    tmp_path: Path, broker: ServiceBusServer, cache_server: RedisServer
) -> None:
    limits = {"perClient": {"burst": 1000, "perSecond": 1000}, "global": {"limit": 4, "window": "1h"}}
    spec = {"ingestion": {"rateLimits": limits, "trustedProxies": ["127.0.0.0/8"]}}
    with ingestion_server(tmp_path, broker=broker, cache=cache_server, spec=spec, name="window") as server:
        client = Client(server.port)
        statuses = [client.post(page_view(), {"X-Forwarded-For": f"192.0.2.{host}"}).status for host in range(6)]

        assert statuses == [202, 202, 202, 202, 429, 429]


def test_a_replica_that_holds_too_many_requests_refuses_more_at_once(
    tmp_path: Path, broker: ServiceBusServer, cache_server: RedisServer, queue: QueueContents
) -> None:
    spec = {"ingestion": {"rateLimits": UNLIMITED, "shedAbove": {"queueDepth": 1}}}
    with ingestion_server(tmp_path, broker=broker, cache=cache_server, spec=spec, name="shed") as server:
        client = Client(server.port)
        deadline = time.monotonic() + 30
        while (answer := client.post(page_view())).status == 202:
            assert time.monotonic() < deadline, "the queue's depth never counted"
        queue.drain()

        assert answer.status == 503
        assert int(answer.headers["retry-after"]) >= 1


def test_a_client_that_sends_too_many_events_is_told_which_limit_and_when(
    tmp_path: Path, broker: ServiceBusServer, cache_server: RedisServer
) -> None:
    limits = {"perClient": {"burst": 100, "perSecond": 100, "eventsBurst": 1000, "eventsPerSecond": 10}}
    spec = {"ingestion": {"rateLimits": limits}}
    with ingestion_server(tmp_path, broker=broker, cache=cache_server, spec=spec, name="events-limited") as server:
        client = Client(server.port)
        assert client.post_batch([page_view() for _ in range(900)]).status == 202
        refused = client.post_batch([page_view() for _ in range(900)])
        assert client.post(page_view()).status == 202

    assert refused.status == 429
    assert 60 <= int(refused.headers["retry-after"]) <= 80
    detail = refused.json()["detail"]
    assert "one client may send 1000 events at once and 10 a second" in detail
    assert "spec.ingestion.rateLimits.perClient" in detail


def test_a_message_of_many_events_counts_as_many_when_load_is_shed(
    tmp_path: Path, broker: ServiceBusServer, cache_server: RedisServer, queue: QueueContents
) -> None:
    spec = {"ingestion": {"rateLimits": UNLIMITED, "shedAbove": {"queueDepth": 90}}}
    with ingestion_server(tmp_path, broker=broker, cache=cache_server, spec=spec, name="shed-by-events") as server:
        client = Client(server.port)
        assert client.post_batch([page_view() for _ in range(100)]).status == 202
        deadline = time.monotonic() + 30
        while (answer := client.post({})).status != 503:
            assert time.monotonic() < deadline, "a hundred events in one message never counted as more than ninety"
        queue.drain()
        assert "the queue holds 100 events, more than 90" in answer.json()["detail"]


def test_the_metrics_count_what_was_accepted(client: Client) -> None:
    tenant = "metrics-" + uuid.uuid4().hex[:8]
    client.post_batch([page_view(tenantId=tenant) for _ in range(7)])

    text = client.request("GET", "/metrics").body.decode()

    assert f'cloudscale_events_ingested_total{{event_type="page_view",tenant_id="{tenant}"}} 7.0' in text


def test_a_mistake_of_the_server_counts_as_an_answer_like_any_other() -> None:
    groups = cast("GroupCommit", None)  # nothing is committed here
    depth = cast("RecentQueueDepth", None)  # nothing is shed
    intake = Intake(groups, depth=depth, spec=Ingestion(), types=EventTypes(), buckets=1)
    before = metrics.count_of_responses()

    answer = intake.failed("/api/events", correlation_id="c-1")

    assert answer.status == 500
    assert msgspec.json.decode(answer.body)["correlationId"] == "c-1"
    assert metrics.count_of_responses() == before + 1


def rejections(client: Client, reason: str) -> float:
    lines = client.request("GET", "/metrics").body.decode().splitlines()
    found = [line for line in lines if line.startswith(f'cloudscale_rejections_total{{reason="{reason}"}}')]
    return sum(float(line.rpartition(" ")[2]) for line in found)


def test_an_event_is_refused_for_the_same_reason_alone_and_in_a_batch(client: Client) -> None:
    known = page_view()
    client.post(known)
    before = rejections(client, "conflict")

    client.post({**known, "url": "https://example.com/other"})
    client.post_batch([{**known, "url": "https://example.com/other"}])

    assert rejections(client, "conflict") == before + 2


@pytest.mark.parametrize("path", ["/health", "/ready", "/metrics", "/openapi.json", "/docs", "/docs.js"])
def test_everything_beside_the_events_is_served(client: Client, path: str) -> None:
    assert client.request("GET", path).status == 200


def test_the_root_leads_to_the_documentation(client: Client) -> None:
    response = client.request("GET", "/")

    assert (response.status, response.headers["location"]) == (307, "/docs")
