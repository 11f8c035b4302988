"""Authorization, faults, metrics and what no SDK would send."""

from __future__ import annotations

import base64
import http.client
import json
import socket
import urllib.error
from email.utils import formatdate
from typing import TYPE_CHECKING

import pytest
from azure.core.exceptions import AzureError
from azure.cosmos import PartitionKey
from azure.cosmos.aio import CosmosClient
from azure.cosmos.exceptions import CosmosHttpResponseError
from tests.servers.cosmos import CosmosServer, cosmos_server

if TYPE_CHECKING:
    from collections.abc import Iterator

    from azure.cosmos.aio import ContainerProxy


@pytest.fixture(scope="module")
def troubled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CosmosServer]:
    """An emulator of its own for the tests that ask for trouble."""
    with cosmos_server(tmp_path_factory.mktemp("cosmos-faults")) as running:
        yield running


async def test_a_wrong_key_is_refused(server: CosmosServer) -> None:
    wrong = base64.b64encode(b"x" * 64).decode()
    client = CosmosClient(server.endpoint, wrong)
    try:
        with pytest.raises(CosmosHttpResponseError) as caught:
            await client.__aenter__()
    finally:
        await client.close()
    assert caught.value.status_code == 401


NOW = "now"


@pytest.mark.parametrize(
    ("headers", "status", "complaint"),
    [
        ({}, 401, "authorization is missing"),
        ({"authorization": "type%3Daad%26ver%3D1.0%26sig%3Dtoken"}, 401, "'aad' is not supported"),
        ({"authorization": "type%3Dmaster%26ver%3D1.0%26sig%3Dx"}, 401, "date header"),
        (
            {"authorization": "type%3Dmaster%26ver%3D1.0%26sig%3Dx", "x-ms-date": "Mon, 01 Jan 2001 00:00:00 GMT"},
            403,
            "check the clocks",
        ),
        (
            {"authorization": "type%3Dmaster%26ver%3D1.0%26sig%3D%C3%A9\xff", "x-ms-date": NOW},
            401,
            "wrong key",
        ),
    ],
)
def test_a_request_that_is_not_properly_signed_is_refused(
    server: CosmosServer, headers: dict[str, str], status: int, complaint: str
) -> None:
    # A run may take longer than the quarter of an hour for which a date is good.
    sent = {name: formatdate(usegmt=True) if value == NOW else value for name, value in headers.items()}
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=5)
    connection.request("GET", "/dbs", headers=sent)
    response = connection.getresponse()
    body = json.loads(response.read())
    connection.close()
    assert response.status == status
    assert complaint in body["message"]


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"nonsense\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nHost: x\r\n" + b"x: " + b"y" * 70_000 + b"\r\n\r\n", b"400"),
        (b"POST /dbs HTTP/1.1\r\nHost: x\r\nContent-Length: 6000000\r\n\r\n" + b"x" * 5_000_000, b"413"),
        (b"POST /dbs HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", b"400"),
        (b"GET /\xff HTTP/1.1\r\nHost: x\r\n\r\n", b"40"),
    ],
)
def test_what_is_not_proper_http_is_refused_and_the_connection_closed(
    server: CosmosServer, data: bytes, status: bytes
) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as connection:
        try:
            connection.sendall(data)
            answer = connection.recv(65536)
        except ConnectionResetError:
            # The server closes while a body that is too large is still on its way.
            assert status == b"413"
            return
    assert answer.startswith(b"HTTP/1.1 " + status)


def test_pipelined_requests_are_answered_in_order(server: CosmosServer) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as connection:
        connection.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n" * 3 + b"GET /x HTTP/1.0\r\n\r\n")
        received = b""
        while chunk := connection.recv(65536):
            received += chunk
    assert [part[:3] for part in received.split(b"HTTP/1.1 ")[1:]] == [b"200"] * 3 + [b"401"]


def test_a_client_that_waits_for_100_continue_gets_it(server: CosmosServer) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as connection:
        connection.sendall(b"POST /dbs HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
        assert connection.recv(1024).startswith(b"HTTP/1.1 100")
        connection.sendall(b"{}")
        assert connection.recv(1024).startswith(b"HTTP/1.1 401")


def test_metrics_count_requests_and_documents(server: CosmosServer) -> None:
    server.request("GET", "dbs")
    text = "\n".join(server.metrics())
    assert 'cosmos_requests_total{operation="administration",status="200"}' in text
    assert 'cosmos_request_seconds_bucket{le="+Inf"}' in text


async def open_container(client: CosmosClient) -> ContainerProxy:
    database = await client.create_database_if_not_exists("db")
    return await database.create_container_if_not_exists("items", PartitionKey("/pk"))


async def test_throttled_requests_carry_the_time_to_wait_and_are_not_done(troubled: CosmosServer) -> None:
    async with CosmosClient(troubled.endpoint, troubled.account_key) as client:
        container = await open_container(client)
        troubled.set_faults(throttleRatio=1.0, retryAfterMilliseconds=30)
        with pytest.raises(CosmosHttpResponseError) as caught:
            await container.create_item({"id": "throttled", "pk": "a"})
        troubled.set_faults()
        assert (caught.value.status_code, caught.value.sub_status) == (429, 3200)
        assert caught.value.headers["x-ms-retry-after-ms"] == "30"
        await container.create_item({"id": "throttled", "pk": "a"})


async def test_the_sdk_rides_out_partial_throttling(troubled: CosmosServer) -> None:
    async with CosmosClient(troubled.endpoint, troubled.account_key) as client:
        container = await open_container(client)
        troubled.set_faults(throttleRatio=0.3, retryAfterMilliseconds=5)
        for number in range(30):
            await container.create_item({"id": f"ridden-{number}", "pk": "a"})
        troubled.set_faults()


async def test_an_answer_can_be_dropped_after_the_write_is_done(troubled: CosmosServer) -> None:
    async with CosmosClient(troubled.endpoint, troubled.account_key) as client:
        container = await open_container(client)
        troubled.set_faults(dropAnswers=True)
        with pytest.raises(AzureError):
            await container.create_item({"id": "dropped", "pk": "a"}, timeout=5)
        troubled.set_faults()
        assert (await container.read_item("dropped", "a"))["id"] == "dropped"


async def test_a_stalled_emulator_goes_on_when_the_plan_ends(troubled: CosmosServer) -> None:
    async with CosmosClient(troubled.endpoint, troubled.account_key) as client:
        container = await open_container(client)
        troubled.set_faults(stall=True)
        with pytest.raises(AzureError):
            await container.create_item({"id": "stalled", "pk": "a"}, read_timeout=0.3, retry_total=0, timeout=1)
        troubled.set_faults()
        await container.upsert_item({"id": "stalled", "pk": "a"})


@pytest.mark.parametrize("plan", [b"{", b'{"failRatio": 2}', b'{"noSuchMember": 1}'])
def test_a_fault_plan_that_makes_no_sense_is_refused(troubled: CosmosServer, plan: bytes) -> None:
    with pytest.raises(urllib.error.HTTPError) as caught:
        troubled.request("PUT", "$faults", plan)
    assert caught.value.code == 400
    caught.value.close()
