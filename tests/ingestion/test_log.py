"""What ingestion writes of single requests into its log, and what it does not."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import TYPE_CHECKING

import msgspec
from tests.ingestion.client import page_view
from tests.waiting import wait_until_sync

if TYPE_CHECKING:
    from tests.ingestion.client import Client
    from tests.servers.ingestion import IngestionServer

SOON = timedelta(seconds=30)
SECRET = "https://example.com/?private"


def lines_with(server: IngestionServer, text: str) -> list[str]:
    """The log's lines that have ``text``, once there is one."""
    path = server.log_file

    def found() -> list[str]:
        return [line for line in path.read_text().splitlines() if text in line]

    wait_until_sync(lambda: bool(found()), within=SOON)
    return found()


def test_a_refused_event_is_found_by_the_correlation_id_of_its_answer(client: Client, server: IngestionServer) -> None:
    answer = client.post(page_view(eventType="click", url=SECRET))

    (line,) = lines_with(server, answer.headers["x-correlation-id"])
    assert answer.json()["correlationId"] in line
    assert "an event was refused" in line
    assert "status=400" in line
    assert SECRET not in server.log_file.read_text()


def test_an_event_that_is_refused_after_it_was_read_is_found_by_its_id(client: Client, server: IngestionServer) -> None:
    event = page_view()
    client.post(event)
    answer = client.post({**event, "url": SECRET}, {"X-Correlation-Id": f"c-{uuid.uuid4().hex}"})

    assert answer.status == 422
    (line,) = lines_with(server, event["eventId"])
    assert f"correlation_id={answer.headers['x-correlation-id']}" in line
    assert "reason=conflict" in line


def test_the_refused_events_of_a_batch_are_one_line(client: Client, server: IngestionServer) -> None:
    batch = [page_view(), *(page_view(eventType="click") for _ in range(5))]
    answer = client.post_batch(msgspec.json.encode(batch), {"X-Correlation-Id": f"c-{uuid.uuid4().hex}"})

    (line,) = lines_with(server, answer.headers["x-correlation-id"])
    assert "events=5" in line


def test_an_accepted_event_and_a_copy_of_it_cost_no_line(client: Client, server: IngestionServer) -> None:
    event = page_view()
    assert [client.post(event).status for _ in range(2)] == [202, 409]

    refused = client.post(b"{}")
    lines_with(server, refused.headers["x-correlation-id"])
    assert event["eventId"] not in server.log_file.read_text()
