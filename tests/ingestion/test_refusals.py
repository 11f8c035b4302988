"""What is kept of refused events for the dashboard, and that no client can make it much."""

from __future__ import annotations

import asyncio
import uuid
from datetime import timedelta
from typing import TYPE_CHECKING

import msgspec
import pytest
from redis.asyncio import Redis
from tests.ingestion.client import Client, page_view
from tests.servers.ingestion import UNLIMITED, ingestion_server
from tests.servers.redis import redis_server
from tests.waiting import wait_until_sync

from cloudscale.cache.keys import Keys
from cloudscale.ingestion import refusal_log
from cloudscale.ingestion.problems import Kind, Problem
from cloudscale.ingestion.refusal_log import LINES_AT_ONCE, RefusalLog
from cloudscale.ingestion.refusals import GROUPS_OF_CLIENT, Refusals
from cloudscale.telemetry import metrics
from cloudscale.telemetry.refusals import GROUPS_A_CALL, GROUPS_AN_HOUR, SAMPLE_CHARACTERS, Group, RefusalStore, Refused

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.servers.ingestion import IngestionServer
    from tests.servers.redis import RedisServer
    from tests.servers.servicebus import ServiceBusServer

SOON = timedelta(seconds=30)
KEYS = Keys(namespace="default", name="test")


@pytest.fixture(scope="module")
def cache_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with redis_server(tmp_path_factory.mktemp("cache")) as server:
        yield server


@pytest.fixture(scope="module")
def server(
    tmp_path_factory: pytest.TempPathFactory, broker: ServiceBusServer, cache_server: RedisServer
) -> Iterator[IngestionServer]:
    """Of this module alone: the refusals of other tests, all from one address, would use up its groups of an hour."""
    spec = {"ingestion": {"rateLimits": UNLIMITED}}
    with ingestion_server(tmp_path_factory.mktemp("ingestion"), broker=broker, cache=cache_server, spec=spec) as server:
        yield server


async def read(cache: RedisServer, key_prefix: str = KEYS.refused) -> dict[Group, Refused]:
    async with Redis.from_url(cache.url) as redis:
        return await RefusalStore(redis, key_prefix=key_prefix).read(hours=1)


def refused_of(cache: RedisServer, tenant: str, *, count: int) -> dict[Group, Refused]:
    """The refusals of a tenant, once there are ``count``."""

    def found() -> dict[Group, Refused]:
        return {group: each for group, each in asyncio.run(read(cache)).items() if group.tenant_id == tenant}

    wait_until_sync(lambda: sum(each.count for each in found().values()) == count, within=SOON)
    return found()


def a_tenant() -> str:
    return "t" + uuid.uuid4().hex[:8]


def test_a_wrong_event_is_known_by_tenant_client_field_and_reason(client: Client, cache_server: RedisServer) -> None:
    tenant = a_tenant()
    answer = client.post(page_view(tenantId=tenant, url=17))

    [(group, refused)] = refused_of(cache_server, tenant, count=1).items()

    assert group == Group(400, "validation", tenant, "127.0.0.1", "/url")
    assert refused.samples[0].correlation_id == answer.headers["x-correlation-id"]
    assert refused.samples[0].detail == answer.json()["detail"]
    assert '"url":17' in refused.samples[0].content


def test_wrong_events_of_a_batch_are_known_like_single_ones(client: Client, cache_server: RedisServer) -> None:
    tenant = a_tenant()
    known = page_view(tenantId=tenant)
    client.post(known)
    wrong = [page_view(tenantId=tenant, url=17), page_view(tenantId=tenant, eventType="click")]
    changed = {**known, "url": "https://example.com/other"}
    client.post_batch(msgspec.json.encode([*wrong, known, changed, page_view(tenantId=tenant)]))

    found = {
        (group.status, group.field): each.count for group, each in refused_of(cache_server, tenant, count=4).items()
    }

    # The batch has the known event twice, with different content: each of them contradicts the other.
    assert found[400, "/url"] == 1
    assert found[400, "/eventType"] == 1
    assert found[422, ""] + found.get((409, ""), 0) == 2


def test_a_copy_and_a_contradiction_are_known(client: Client, cache_server: RedisServer) -> None:
    tenant = a_tenant()
    event = page_view(tenantId=tenant)
    for body in (event, event, {**event, "url": "https://example.com/other"}):
        client.post(body)

    found = refused_of(cache_server, tenant, count=2)

    assert {(group.status, group.reason) for group in found} == {(409, "duplicate"), (422, "conflict")}


def test_a_request_over_the_limit_is_known_with_the_tenant_of_its_events(
    tmp_path: Path, broker: ServiceBusServer
) -> None:
    limits = {"perClient": {"burst": 10, "perSecond": 10, "eventsBurst": 1000, "eventsPerSecond": 1}}
    spec = {"ingestion": {"rateLimits": limits}}
    with (
        redis_server(tmp_path / "redis") as cache,
        ingestion_server(tmp_path / "ingestion", broker=broker, cache=cache, spec=spec) as server,
    ):
        statuses = [
            Client(server.port)
            .post_batch(msgspec.json.encode([page_view(tenantId="contoso") for _ in range(600)]))
            .status
            for _ in range(2)
        ]
        assert statuses == [202, 429]

        [group] = refused_of(cache, "contoso", count=600)

    assert (group.status, group.reason, group.client) == (429, "limit-client-events", "127.0.0.1")


def test_while_redis_is_away_refusals_wait(tmp_path: Path, broker: ServiceBusServer) -> None:
    with (
        redis_server(tmp_path / "redis") as cache,
        ingestion_server(tmp_path / "ingestion", broker=broker, cache=cache) as server,
    ):
        cache.kill()
        assert Client(server.port).post(page_view(tenantId="contoso", url=17)).status == 400
        cache.start()

        assert refused_of(cache, "contoso", count=1)


def test_the_log_names_tenant_and_field(client: Client, server: IngestionServer) -> None:
    answer = client.post(page_view(tenantId="contoso", url=17))
    path = server.log_file

    def lines() -> list[str]:
        return [line for line in path.read_text().splitlines() if answer.headers["x-correlation-id"] in line]

    wait_until_sync(lambda: bool(lines()), within=SOON)
    assert "contoso" in lines()[0]
    assert "/url" in lines()[0]


def test_copies_are_summed_up_in_the_log_with_their_tenant(client: Client, server: IngestionServer) -> None:
    event = page_view(tenantId=a_tenant())
    client.post(event)
    client.post(event)
    path = server.log_file

    def lines() -> list[str]:
        return [line for line in path.read_text().splitlines() if f"tenant_id={event['tenantId']}" in line]

    wait_until_sync(lambda: bool(lines()), within=SOON)
    assert "status=409" in lines()[0]


def note(refusals: Refusals, number: int, *, client: str, content: bytes = b"{}") -> None:
    problem = Problem(Kind.INVALID, "wrong " * 200, "validation", tenant_id=f"t{number}", content=content)
    refusals.of_request(client, correlation_id="c-1").note(problem)


class Kept(RefusalStore):
    """Keeps what it is given to write."""

    def __init__(self) -> None:
        self.written: list[tuple[Group, int, object]] = []

    async def add(self, counted: object) -> None:
        assert isinstance(counted, list)
        self.written += counted


async def test_a_client_that_makes_up_tenants_takes_no_place_from_others() -> None:
    refusals, store = Refusals(), Kept()
    before = metrics.REFUSALS_WITHOUT_PLACE._value.get()
    for number in range(10_000):
        note(refusals, number, client="10.0.0.1")
    note(refusals, 7, client="10.0.0.2")

    await refusals.write(store)

    written = {group: count for group, count, _ in store.written}
    assert len(written) == GROUPS_OF_CLIENT + 2
    assert written[Group(400, "validation")] == 10_000 - GROUPS_OF_CLIENT
    assert written[Group(400, "validation", "t7", "10.0.0.2")] == 1
    assert metrics.REFUSALS_WITHOUT_PLACE._value.get() - before == 10_000 - GROUPS_OF_CLIENT


async def test_many_clients_together_take_no_more_than_an_hour_has() -> None:
    refusals, store = Refusals(), Kept()
    for number in range(5000):
        note(refusals, number, client=f"10.0.{number // 250}.{number % 250}")

    await refusals.write(store)

    assert len(store.written) == GROUPS_AN_HOUR + 1
    assert sum(count for _, count, _ in store.written) == 5000


async def test_a_sample_is_short_text_whatever_was_sent() -> None:
    refusals, store = Refusals(), Kept()
    note(refusals, 1, client="10.0.0.1", content=b"\xff<script>" + b"\x00\xf0\x9f" * 100_000)

    await refusals.write(store)

    sample = store.written[0][2]
    encoded = msgspec.json.decode(msgspec.json.encode(sample))
    assert len(encoded["content"]) == SAMPLE_CHARACTERS
    assert encoded["content"].startswith("\ufffd<script>")
    assert len(encoded["detail"]) <= 300


class Away(RefusalStore):
    """A store that cannot be reached."""

    def __init__(self) -> None: ...

    async def add(self, counted: object) -> None:
        raise ConnectionError(f"{counted} cannot be written")


class Stuck(RefusalStore):
    """A store that takes the first call and answers no other one."""

    def __init__(self) -> None:
        self.written = 0
        self.is_asked = asyncio.Event()

    async def add(self, counted: object) -> None:
        assert isinstance(counted, list)
        if not self.written:
            self.written = len(counted)
            return
        self.is_asked.set()
        await asyncio.Event().wait()


async def test_what_is_not_written_when_the_writing_is_cancelled_is_written_the_next_time() -> None:
    refusals, stuck, store = Refusals(), Stuck(), Kept()
    for number in range(GROUPS_A_CALL + 20):
        note(refusals, number, client=f"10.0.0.{number}")
    writing = asyncio.create_task(refusals.write(stuck))
    await stuck.is_asked.wait()

    writing.cancel()
    await asyncio.wait([writing])
    await refusals.write(store)

    assert stuck.written == GROUPS_A_CALL
    assert sum(count for _, count, _ in store.written) == 20


async def test_what_waits_for_redis_is_bounded_however_long_it_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    refusals, hour = Refusals(), 0
    monkeypatch.setattr("cloudscale.ingestion.refusals.time.time", lambda: hour * 3600.0)
    for hour in range(1, 5):
        for number in range(GROUPS_AN_HOUR):
            note(refusals, number + hour * 10_000, client=f"10.{hour}.{number // 250}.{number % 250}")
        await refusals.write(Away())

    store = Kept()
    await refusals.write(store)

    assert len(store.written) == GROUPS_AN_HOUR + 1
    assert sum(count for _, count, _ in store.written) == 4 * GROUPS_AN_HOUR


def test_a_flood_writes_so_many_lines_and_says_how_many_it_left_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    written: list[tuple[str, dict[str, object]]] = []

    class Lines:
        def info(self, text: str, **fields: object) -> None:
            written.append((text, fields))

    monkeypatch.setattr(refusal_log, "log", Lines())
    monkeypatch.setattr("cloudscale.ingestion.refusal_log.time.monotonic", lambda: 0.0)
    log = RefusalLog()

    for _ in range(LINES_AT_ONCE + 50):
        log.write("an event was refused")
    log.summarise()

    assert len(written) == LINES_AT_ONCE + 1
    assert written[-1] == ("lines about refused events were left out", {"lines": 50})


def test_each_kind_of_refusal_has_a_status_and_a_name_of_its_own() -> None:
    statuses, names, _ = zip(*(kind.value for kind in Kind), strict=True)
    assert len(set(statuses)) == len(set(names)) == len(Kind)
