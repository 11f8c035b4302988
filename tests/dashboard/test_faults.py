"""What the dashboard does about bad requests, bad settings and bad data, without a pipeline beside it."""

from __future__ import annotations

import asyncio
import itertools
import os
import socket
from contextlib import closing
from datetime import timedelta
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

import msgspec
import pytest
from redis import Redis
from tests.dashboard.tokens import OWNER, READER, TOKENS
from tests.servers.dashboard import OWN_PAGE, DashboardServer, dashboard_server, lone_settings
from tests.servers.redis import redis_server
from tests.waiting import wait_until_sync

from cloudscale.cache.keys import keys_of
from cloudscale.dashboard.application import build_application
from cloudscale.dashboard.body_limit import MAXIMUM_BODY_BYTES
from cloudscale.dashboard.collector import Collector
from cloudscale.dashboard.dead_letters import Choice
from cloudscale.pipeline import load_file

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from starlette.types import Message

    from cloudscale.settings import Settings

WITHIN = timedelta(seconds=30)


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """A Redis, and neither a broker nor a store."""
    with lone_settings(tmp_path_factory.mktemp("alone")) as settings:
        yield settings


@pytest.fixture(scope="module")
def alone(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DashboardServer]:
    with dashboard_server(tmp_path_factory.mktemp("dashboard"), settings, tokens=TOKENS) as dashboard:
        yield dashboard


def test_a_body_without_end_is_refused_from_anybody(alone: DashboardServer) -> None:
    address = urlsplit(alone.url)
    head = (
        "POST /api/session HTTP/1.1\r\nHost: here\r\nX-Requested-With: cloudscale\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    piece = b"x" * 1024
    with closing(socket.create_connection((address.hostname, address.port), timeout=20)) as connection:
        connection.sendall(head.encode())
        for _ in range(MAXIMUM_BODY_BYTES // len(piece) + 1):
            connection.sendall(b"%x\r\n%s\r\n" % (len(piece), piece))

        assert connection.recv(4096).startswith(b"HTTP/1.1 413 ")


def test_the_longest_choice_is_not_too_long(alone: DashboardServer) -> None:
    choice = msgspec.json.encode(Choice(sequence_numbers=[2**63 - 1] * 10_000))

    answer = alone.call("/api/dead-letters/discard", token=OWNER, method="POST", content=choice, headers=OWN_PAGE)

    assert answer.status == 500
    assert "no Service Bus namespace" in answer.json["detail"]


def test_a_sign_in_that_is_nested_too_deep_is_refused(alone: DashboardServer) -> None:
    body = b'{"x":' + b"[" * 100_000

    assert alone.call("/api/session", method="POST", content=body, headers=OWN_PAGE).status == 400


def test_a_missing_setting_is_named_and_the_live_figures_go_on(alone: DashboardServer) -> None:
    answer = alone.call("/api/dead-letters", token=OWNER)

    assert answer.status == 500
    assert answer.json["title"] == "This pipeline is not configured right"
    assert "set CLOUDSCALE_SERVICEBUS_CONNECTION_STRING" in answer.json["detail"]

    def at() -> float:
        moment: float = alone.call("/api/history", token=OWNER).json["now"]["point"]["at"]
        return moment

    before = at()
    wait_until_sync(lambda: at() > before + 1, within=WITHIN)
    assert alone.call("/health").status == 200


async def test_a_dashboard_whose_collector_ended_asks_to_be_restarted(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(_self: Collector) -> None:
        raise ZeroDivisionError

    async def never() -> Message:
        raise AssertionError("there is nothing to read")

    answer: list[Message] = []

    async def take(message: Message) -> None:
        answer.append(message)

    monkeypatch.setattr(Collector, "run", fail)
    application = build_application(load_file(settings.pipeline_file), settings)
    async with application.router.lifespan_context(application):
        await asyncio.wait([application.state.collecting])
        scope = {"type": "http", "method": "GET", "path": "/health", "headers": [], "query_string": b""}
        await application(scope, never, take)

    assert answer[0]["status"] == 503


def test_points_that_another_version_has_written_are_left_out(settings: Settings, tmp_path: Path) -> None:
    history = keys_of(load_file(settings.pipeline_file)).history
    with Redis.from_url(settings.redis_url) as redis:
        redis.rpush(history, '[{"at":"yesterday"},{}]', "[", '"older"')

    with dashboard_server(tmp_path, settings) as dashboard:
        wait_until_sync(lambda: len(dashboard.call("/api/history").json["series"]["at"]) > 0, within=WITHIN)


def test_a_stream_ends_when_its_token_is_withdrawn(settings: Settings, tmp_path: Path) -> None:
    with dashboard_server(tmp_path, settings, tokens=TOKENS) as dashboard:
        request = Request(f"{dashboard.url}/api/stream", headers={"Authorization": f"Bearer {READER}"})  # noqa: S310
        with urlopen(request, timeout=WITHIN.total_seconds()) as response:  # noqa: S310 - our own
            assert response.readline().startswith(b"retry")
            tokens = tmp_path / "tokens.json"
            tokens.write_bytes(msgspec.json.encode([each for each in TOKENS if each["token"] != READER]))
            os.utime(tokens, (1, 1))
            # Ends by itself, within the time after which the file is looked at again.
            messages = [line for line in response if line.startswith(b"data: ")]

        assert len(messages) < 30
        assert dashboard.call("/api/stream", token=READER).status == 401


@pytest.mark.fault
def test_figures_that_are_not_renewed_are_called_old(settings: Settings, tmp_path: Path) -> None:
    with redis_server(tmp_path / "redis") as redis:
        own = msgspec.structs.replace(settings, redis_url=redis.url)
        with dashboard_server(tmp_path / "dashboard", own) as dashboard:
            request = Request(f"{dashboard.url}/api/stream")  # noqa: S310 - our own
            with urlopen(request, timeout=WITHIN.total_seconds()) as response:  # noqa: S310 - our own
                lines = (line for line in response if line.startswith(b"data: "))
                next(lines)
                redis.kill()
                said = (msgspec.json.decode(line[len(b"data: ") :])["health"]["message"] for line in lines)

                assert any(message.startswith("The figures are ") for message in itertools.islice(said, 30))
