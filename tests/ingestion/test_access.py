"""Who may send what: a service that takes events of those only whom it knows."""

from __future__ import annotations

import asyncio
import base64
import http.client
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import pytest
from tests.ingestion.client import Client, bearer, nobodys
from tests.ingestion.queue_contents import queue_contents
from tests.servers.access_directory import administration_of
from tests.servers.ingestion import UNLIMITED, ingestion_server
from tests.waiting import wait_until_sync

from cloudscale.access import api_key
from cloudscale.access.new_keys import KeyRights, NewKey
from cloudscale.access.records import Quota
from cloudscale.access.scopes import Scope
from cloudscale.access.sightings import DeviceName, Seen, Sightings
from cloudscale.cache.connection import open_redis
from cloudscale.cache.keys import Keys
from cloudscale.events.timestamps import as_utc

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from tests.ingestion.queue_contents import QueueContents
    from tests.servers.cosmos import CosmosServer
    from tests.servers.ingestion import IngestionServer
    from tests.servers.redis import RedisServer
    from tests.servers.servicebus import ServiceBusServer

NAME = "guarded"
QUEUE = "guarded-events"
SHOP = "https://shop.example"
SOON = timedelta(seconds=20)
WRITES = frozenset({Scope.WRITE_EVENTS})


class Keyring(NamedTuple):
    """Keys of the tenants acme and contoso, as texts."""

    acme: str
    contoso: str
    reader: str
    purchases: str
    device: str
    server: str
    page: str
    expired: str
    revoked: str
    disabled: str
    deleted: str
    limited: str


@pytest.fixture(scope="module")
def keyring(store: CosmosServer, cache_server: RedisServer) -> Keyring:
    return asyncio.run(make_keys(store, cache_server))


async def make_keys(store: CosmosServer, cache: RedisServer) -> Keyring:
    async with administration_of(NAME, store=store, cache=cache) as administration:
        for tenant in ("acme", "contoso", "disabled"):
            await administration.create_tenant(tenant)
        await administration.create_tenant("limited", quota=Quota(requests_per_second=0.001))

        async def key(tenant: str = "acme", **rights: Any) -> NewKey:
            return await administration.create_key(tenant, "test", rights=KeyRights(**rights))

        expired = await administration.create_key("acme", "test", expires_in=timedelta(microseconds=1))
        revoked = await key()
        await administration.revoke_key("acme", revoked.record.id)
        disabled = await key("disabled")
        await administration.change_tenant("disabled", disabled=True)
        await administration.create_tenant("deleted")
        deleted = await key("deleted")
        # No command does it: somebody has taken the tenant out of the store.
        await administration._container._container.delete_item("tenant", "deleted")
        device = await administration.create_device("acme", "thermostat-7")
        made = [
            await key(),
            await key("contoso"),
            await key(scopes=frozenset({Scope.READ_EVENTS, Scope.ADMIN, Scope.TENANT_ADMIN})),
            await key(event_types=frozenset({"purchase"})),
            device,
            await key(is_server=True),
            await key(origins=frozenset({SHOP})),
            expired,
            revoked,
            disabled,
            deleted,
            await key("limited"),
        ]
        return Keyring(*(each.text for each in made))


@pytest.fixture(scope="module")
def guarded(
    tmp_path_factory: pytest.TempPathFactory,
    broker: ServiceBusServer,
    cache_server: RedisServer,
    store: CosmosServer,
    keyring: Keyring,
) -> Iterator[IngestionServer]:
    spec = {"queue": {"name": QUEUE}, "ingestion": {"rateLimits": UNLIMITED}}
    directory = tmp_path_factory.mktemp("guarded")
    with ingestion_server(directory, broker=broker, cache=cache_server, spec=spec, name=NAME, store=store) as server:
        yield server


@pytest.fixture
def client(guarded: IngestionServer) -> Client:
    return Client(guarded.port)


@pytest.fixture(scope="module")
def queue(guarded: IngestionServer, broker: ServiceBusServer) -> Iterator[QueueContents]:
    with queue_contents(broker, QUEUE) as contents:
        yield contents


def test_an_event_gets_the_tenant_of_its_key(client: Client, queue: QueueContents, keyring: Keyring) -> None:
    assert client.post(nobodys(), bearer(keyring.acme)).status == 202
    assert client.post(nobodys(tenantId="acme"), bearer(keyring.acme)).status == 202

    assert [event["tenantId"] for event in queue.drain()] == ["acme", "acme"]


def test_a_repeated_event_is_known_whether_it_names_its_tenant_or_not(
    client: Client, queue: QueueContents, keyring: Keyring
) -> None:
    event = nobodys()
    assert client.post(event, bearer(keyring.acme)).status == 202
    assert client.post({**event, "tenantId": "acme"}, bearer(keyring.acme)).status == 409
    assert client.post(event, bearer(keyring.contoso)).status == 202, "ids are a tenant's own"
    queue.drain()


def test_of_a_batch_only_the_events_of_others_are_refused(
    client: Client, queue: QueueContents, keyring: Keyring
) -> None:
    answer = client.post_batch([nobodys(), nobodys(tenantId="contoso"), nobodys()], bearer(keyring.acme))

    items = answer.json()["results"]
    assert (answer.status, [item["status"] for item in items]) == (207, [202, 403, 202])
    assert items[1]["problem"]["errors"][0]["pointer"] == "/tenantId"
    assert {event["tenantId"] for event in queue.drain()} == {"acme"}


def test_a_devices_events_carry_its_id(client: Client, queue: QueueContents, keyring: Keyring) -> None:
    assert client.post(nobodys(), bearer(keyring.device)).status == 202
    assert client.post(nobodys(deviceId="thermostat-8"), bearer(keyring.device)).status == 403

    assert [event["deviceId"] for event in queue.drain()] == ["thermostat-7"]


def test_it_is_known_when_a_device_sent_and_what_its_clock_is_off(
    client: Client, queue: QueueContents, keyring: Keyring, cache_server: RedisServer
) -> None:
    def ago(**parts: float) -> str:
        return as_utc(datetime.now(UTC) - timedelta(**parts))

    thermostat, named = DeviceName("acme", "thermostat-7"), DeviceName("acme", "thermostat-9")

    async def find() -> dict[DeviceName, Seen]:
        async with open_redis(cache_server.url) as redis:
            return await Sightings(redis, keys=Keys(namespace="default", name=NAME)).find([thermostat, named])

    def is_measured() -> bool:
        seen = asyncio.run(find()).get(thermostat)
        return seen is not None and seen.difference_seconds is not None

    in_time, late = nobodys(createdAt=ago(minutes=5)), nobodys(createdAt=ago(hours=2))
    assert client.post_batch([late, in_time], bearer(keyring.device)).status == 202
    assert client.post(nobodys(deviceId="x", createdAt=ago(days=9)), bearer(keyring.device)).status == 403
    assert client.post(late, bearer(keyring.device)).status == 409
    assert client.post(nobodys(deviceId="thermostat-9", createdAt=ago(days=9)), bearer(keyring.server)).status == 202
    wait_until_sync(is_measured, within=SOON)

    found = asyncio.run(find())
    assert found.keys() == {thermostat}, "a server's key proves no device"
    assert 300 <= (found[thermostat].difference_seconds or 0) < 400, "what is refused, or a copy, measures no clock"
    queue.drain()


def test_a_server_names_the_address_of_the_end_user_and_its_own_is_none(
    client: Client, queue: QueueContents, keyring: Keyring
) -> None:
    for event in (nobodys(clientAddress="2001:DB8::1"), nobodys()):
        assert client.post(event, bearer(keyring.server)).status == 202
    assert client.post(nobodys(clientAddress="nowhere"), bearer(keyring.server)).status == 400
    assert client.post(nobodys(clientAddress=5), bearer(keyring.server)).status == 400
    assert client.post(nobodys(clientAddress="192.0.2.7"), bearer(keyring.acme)).status == 400

    assert [event["clientAddress"] for event in queue.drain()] == ["2001:db8::1", ""]


def test_a_page_sends_with_its_key_from_its_origin(client: Client, queue: QueueContents, keyring: Keyring) -> None:
    assert client.post(nobodys(), {**bearer(keyring.page), "Origin": SHOP}).status == 202
    queue.drain()


@pytest.mark.parametrize("media_type", ["text/plain;charset=UTF-8", "application/x-www-form-urlencoded"])
def test_json_that_is_sent_as_text_is_taken_from_those_who_have_a_key(
    client: Client, queue: QueueContents, keyring: Keyring, media_type: str
) -> None:
    body = msgspec.json.encode(nobodys())
    headers = {**bearer(keyring.acme), "Content-Type": media_type}

    assert client.request("POST", "/api/events", body, headers).status == 202
    assert client.request("POST", "/api/events/batch", b"[" + body + b"]", headers).status == 207
    queue.drain()


class Misuse(NamedTuple):
    """A request that must not come in, and what it is answered with."""

    name: str
    headers: Callable[[Keyring], list[tuple[str, str]] | dict[str, str]]
    status: int
    event: Mapping[str, Any] = MappingProxyType({})
    path: str = "/api/events"


def swapped(key: str) -> str:
    """The key's id with the secret of another."""
    parsed = api_key.parse(key)
    assert parsed is not None
    body = f"cs_{parsed.id}_{api_key.generate().secret[:43]}"
    return body + api_key._check(body)


MISUSES = [
    Misuse("no key", lambda _: {}, 401),
    Misuse("empty header", lambda _: {"Authorization": ""}, 401),
    Misuse("scheme alone", lambda _: {"Authorization": "Bearer"}, 401),
    Misuse("scheme and blank", lambda _: {"Authorization": "Bearer "}, 401),
    Misuse("key without scheme", lambda keys: {"Authorization": keys.acme}, 401),
    Misuse("another scheme", lambda keys: {"Authorization": f"Token {keys.acme}"}, 401),
    Misuse(
        "basic", lambda keys: {"Authorization": "Basic " + base64.b64encode(f"{keys.acme}:".encode()).decode()}, 401
    ),
    Misuse("an unknown key", lambda _: bearer(api_key.generate().text), 401),
    Misuse("the id with another secret", lambda keys: bearer(swapped(keys.acme)), 401),
    Misuse("a mistyped key", lambda keys: bearer(keys.acme[:-1] + "!"), 401),
    Misuse("a key cut short", lambda keys: bearer(keys.acme[:-1]), 401),
    Misuse("a key and more", lambda keys: bearer(keys.acme + "x"), 401),
    Misuse("two blanks", lambda keys: {"Authorization": f"Bearer  {keys.acme}"}, 401),
    Misuse("two keys in one header", lambda keys: bearer(f"{keys.acme}, {keys.contoso}"), 401),
    Misuse("in upper case", lambda keys: bearer(keys.acme.upper()), 401),
    Misuse("with %00", lambda keys: bearer(keys.acme + "%00"), 401),
    Misuse("only the id", lambda keys: bearer(keys.acme[:15]), 401),
    Misuse("an empty secret", lambda keys: bearer(keys.acme[:16]), 401),
    Misuse("another prefix", lambda keys: bearer("xx" + keys.acme[2:]), 401),
    Misuse("10 kB", lambda _: bearer("cs_" + "A" * 10_000), 401),
    Misuse("a token where none are taken", lambda _: bearer("eyJhbGciOiJub25lIn0.e30."), 401),
    Misuse("expired", lambda keys: bearer(keys.expired), 401),
    Misuse("revoked", lambda keys: bearer(keys.revoked), 401),
    Misuse("twice", lambda keys: [("Authorization", f"Bearer {keys.acme}")] * 2, 401),
    Misuse(
        "of two tenants",
        lambda keys: [("Authorization", f"Bearer {keys.acme}"), ("authorization", f"Bearer {keys.contoso}")],
        401,
    ),
    Misuse("in the cookie", lambda keys: {"Cookie": f"Authorization=Bearer {keys.acme}"}, 401),
    Misuse("in the query", lambda keys: {"X-Key": keys.acme}, 401, path="/api/events?key=cs_1"),
    Misuse("in X-Api-Key", lambda keys: {"X-Api-Key": keys.acme}, 401),
    Misuse("in Proxy-Authorization", lambda keys: {"Proxy-Authorization": f"Bearer {keys.acme}"}, 401),
    Misuse("in X-Authorization", lambda keys: {"X-Authorization": f"Bearer {keys.acme}"}, 401),
    Misuse("a header with an underscore", lambda keys: {"Authorization_": f"Bearer {keys.acme}"}, 401),
    Misuse("no ASCII", lambda _: {"Authorization": "Bearer cs_ü"}, 401),
    Misuse("a disabled tenant", lambda keys: bearer(keys.disabled), 403),
    Misuse("a deleted tenant", lambda keys: bearer(keys.deleted), 403),
    Misuse("may only read and manage", lambda keys: bearer(keys.reader), 403),
    Misuse("another type of event", lambda keys: bearer(keys.purchases), 403),
    Misuse("a page's key without origin", lambda keys: bearer(keys.page), 403),
    Misuse("a page's key from elsewhere", lambda keys: {**bearer(keys.page), "Origin": "https://evil.example"}, 403),
    Misuse("a page's key over HTTP", lambda keys: {**bearer(keys.page), "Origin": "http://shop.example"}, 403),
    Misuse("a page's key from below", lambda keys: {**bearer(keys.page), "Origin": "https://a.shop.example"}, 403),
    Misuse("a page's key from another port", lambda keys: {**bearer(keys.page), "Origin": f"{SHOP}:8443"}, 403),
    Misuse("a page's key from null", lambda keys: {**bearer(keys.page), "Origin": "null"}, 403),
    Misuse("another tenant", lambda keys: bearer(keys.acme), 403, {"tenantId": "contoso"}),
    Misuse("another tenant in other letters", lambda keys: bearer(keys.acme), 403, {"tenantId": "ACME"}),
    Misuse("a tenant with a blank", lambda keys: bearer(keys.acme), 403, {"tenantId": "acme "}),
    Misuse("an empty tenant", lambda keys: bearer(keys.acme), 403, {"tenantId": ""}),
    Misuse("a list of tenants", lambda keys: bearer(keys.acme), 403, {"tenantId": ["acme"]}),
    Misuse("another device", lambda keys: bearer(keys.device), 403, {"deviceId": "thermostat-8"}),
    Misuse("another tenant by a CloudEvent", lambda keys: {
        **bearer(keys.acme), "ce-specversion": "1.0", "ce-id": "1", "ce-source": "/t",
        "ce-type": "com.cloudscale.page_view", "ce-tenantid": "contoso",
    }, 403, {"tenantId": "contoso"}),
    Misuse("partitionKey", lambda keys: bearer(keys.acme), 400, {"partitionKey": "contoso:2026-11"}),
    Misuse("clientAddress", lambda keys: bearer(keys.acme), 400, {"clientAddress": "192.0.2.1"}),
]  # fmt: skip


@pytest.mark.parametrize("misuse", MISUSES, ids=lambda misuse: misuse.name)
def test_a_misuse_is_refused_and_nothing_of_it_gets_into_the_queue(
    guarded: IngestionServer, queue: QueueContents, keyring: Keyring, misuse: Misuse
) -> None:
    # Each from an address of its own, so that none is refused for the others' wrong keys.
    client = Client(guarded.port, f"127.0.1.{MISUSES.index(misuse) + 1}")
    headers = misuse.headers(keyring)
    lines = [*(headers.items() if isinstance(headers, dict) else headers), ("Content-Type", "application/json")]
    answer = client.request("POST", misuse.path, msgspec.json.encode(nobodys(**misuse.event)), lines)

    assert answer.status == misuse.status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers.get("www-authenticate", "").startswith("Bearer") == (
        misuse.status == 401 or misuse.name == "may only read and manage"
    )
    assert not any(key.rpartition("_")[2] in answer.body.decode() for key in keyring)
    assert queue.drain() == []


def test_a_challenge_says_what_is_missing(client: Client, keyring: Keyring) -> None:
    assert client.post(nobodys()).headers["www-authenticate"] == 'Bearer realm="cloudscale"'
    unknown = client.post(nobodys(), bearer(api_key.generate().text))
    assert unknown.headers["www-authenticate"] == 'Bearer realm="cloudscale", error="invalid_token"'
    reader = client.post(nobodys(), bearer(keyring.reader))
    expected = 'Bearer realm="cloudscale", error="insufficient_scope", scope="events:write"'
    assert reader.headers["www-authenticate"] == expected


def test_who_is_not_known_is_answered_before_the_body_is_read(guarded: IngestionServer) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", guarded.port, timeout=30)
    try:
        connection.putrequest("POST", "/api/events/batch")
        connection.putheader("Content-Type", "application/json")
        connection.putheader("Content-Length", "4000000")
        connection.endheaders()
        answer = connection.getresponse()
    finally:
        connection.close()

    assert (answer.status, answer.getheader("connection")) == (401, "close")


def test_an_address_that_tries_many_wrong_keys_has_to_wait(guarded: IngestionServer, keyring: Keyring) -> None:
    client = Client(guarded.port, "127.0.2.1")
    statuses = [client.post(nobodys(), bearer(api_key.generate().text)).status for _ in range(40)]

    assert set(statuses) == {401, 429}
    assert statuses[:30] == [401] * 30
    answer = client.post(nobodys(), bearer(keyring.acme))
    assert (answer.status, int(answer.headers["retry-after"]) > 0) == (429, True)
    assert Client(guarded.port, "127.0.2.2").post(nobodys(), bearer(keyring.acme)).status == 202


def test_a_tenants_quota_holds_and_the_answer_names_it(client: Client, keyring: Keyring) -> None:
    first, second = [client.post(nobodys(), bearer(keyring.limited)) for _ in range(2)]

    assert (first.status, second.status) == (202, 429)
    assert first.headers["ratelimit-policy"].endswith('comment="tenant"')
    assert "the tenant limited may send 1 requests at once" in second.json()["detail"]
    assert "cloudscale tenants change" in second.json()["detail"]


def test_a_revoked_key_is_refused_within_seconds(
    client: Client, store: CosmosServer, cache_server: RedisServer
) -> None:
    async def make() -> NewKey:
        async with administration_of(NAME, store=store, cache=cache_server) as administration:
            return await administration.create_key("acme", "short-lived")

    async def revoke(key_id: str) -> None:
        async with administration_of(NAME, store=store, cache=cache_server) as administration:
            await administration.revoke_key("acme", key_id)

    made = asyncio.run(make())
    assert client.post(nobodys(), bearer(made.text)).status == 202
    asyncio.run(revoke(made.record.id))

    wait_until_sync(lambda: client.post(nobodys(), bearer(made.text)).status == 401, within=timedelta(seconds=5))


def test_the_log_names_the_key_and_never_its_secret(guarded: IngestionServer, client: Client, keyring: Keyring) -> None:
    client.post(nobodys(tenantId="contoso"), bearer(keyring.acme))

    def log() -> str:
        return guarded.log_file.read_text()

    wait_until_sync(lambda: "other-tenant" in log(), within=SOON)
    assert not any(key.rpartition("_")[2] in log() for key in keyring)


def test_invented_keys_leave_nothing_in_redis(
    guarded: IngestionServer, cache_server: RedisServer, keyring: Keyring
) -> None:
    async def keys() -> int:
        async with open_redis(cache_server.url) as redis:
            return len([key async for key in redis.scan_iter(match=f"cloudscale:default/{NAME}:*", count=1000)])

    clients = [Client(guarded.port, f"127.0.3.{number + 1}") for number in range(10)]
    before = asyncio.run(keys())
    for client in clients:
        for _ in range(20):
            assert client.post(nobodys(), bearer(api_key.generate().text)).status == 401

    # Refusals are counted for the dashboard, in places that are bounded.
    assert asyncio.run(keys()) <= before + 5
