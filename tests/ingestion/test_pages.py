"""What web pages may send, and what their scripts may read of the answers."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from random import randrange
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.ingestion.client import Client, bearer, nobodys
from tests.ingestion.queue_contents import queue_contents
from tests.servers.access_directory import administration_of
from tests.servers.ingestion import UNLIMITED, ingestion_server
from tests.waiting import wait_until_sync

from cloudscale.access import api_key
from cloudscale.access.new_keys import KeyRights
from cloudscale.cache.connection import open_redis

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.ingestion.queue_contents import QueueContents
    from tests.servers.cosmos import CosmosServer
    from tests.servers.ingestion import IngestionServer
    from tests.servers.redis import RedisServer
    from tests.servers.servicebus import ServiceBusServer

NAME = "pages"
QUEUE = "pages-events"
SHOP = "https://shop.example"
BLOG = "https://blog.example"
ELSEWHERE = "https://evil.example"
TEXT = "text/plain;charset=UTF-8"


class Keyring(NamedTuple):
    """Keys, as texts: two public ones, and one that is a secret."""

    shop: str
    blog: str
    secret: str
    slow: str


@pytest.fixture(scope="module")
def keyring(store: CosmosServer, cache_server: RedisServer) -> Keyring:
    async def make() -> Keyring:
        async with administration_of(NAME, store=store, cache=cache_server) as administration:
            made = []
            for tenant, origins in (("acme", {SHOP}), ("contoso", {BLOG}), ("fabrikam", None)):
                await administration.create_tenant(tenant)
                rights = KeyRights(origins=None if origins is None else frozenset(origins))
                made.append((await administration.create_key(tenant, "test", rights=rights)).text)
            slow = KeyRights(origins=frozenset({SHOP}), requests_per_second=0.001)
            made.append((await administration.create_key("acme", "test", rights=slow)).text)
            return Keyring(*made)

    return asyncio.run(make())


@pytest.fixture(scope="module")
def service(
    tmp_path_factory: pytest.TempPathFactory,
    broker: ServiceBusServer,
    cache_server: RedisServer,
    store: CosmosServer,
    keyring: Keyring,
) -> Iterator[IngestionServer]:
    spec = {
        "queue": {"name": QUEUE},
        "ingestion": {"rateLimits": {**UNLIMITED, "perKey": {"burst": 1000, "perSecond": 1000}}},
        "access": {"browser": {"origins": [SHOP, BLOG]}},
    }
    directory = tmp_path_factory.mktemp("pages")
    with ingestion_server(directory, broker=broker, cache=cache_server, spec=spec, name=NAME, store=store) as server:
        yield server


@pytest.fixture
def client(service: IngestionServer) -> Client:
    return Client(service.port)


@pytest.fixture(scope="module")
def queue(service: IngestionServer, broker: ServiceBusServer) -> Iterator[QueueContents]:
    with queue_contents(broker, QUEUE) as contents:
        yield contents


def cross_origin(headers: dict[str, str]) -> set[str]:
    return {name for name in headers if name.startswith("access-control-")}


PATHS = ["/api/events", "/api/v1/events", "/api/events/batch", "/api/v1/events/batch"]
ASKS = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization,content-type"}


@pytest.mark.parametrize("path", PATHS)
def test_a_preflight_says_what_pages_of_an_origin_may_send(client: Client, path: str) -> None:
    answer = client.request("OPTIONS", path, headers={"Origin": SHOP, **ASKS})

    assert (answer.status, answer.body) == (204, b"")
    assert answer.headers["access-control-allow-origin"] == SHOP
    assert answer.headers["access-control-allow-methods"] == "POST"
    assert answer.headers["access-control-max-age"] == "7200"
    assert answer.headers["vary"] == "origin"
    allowed = answer.headers["access-control-allow-headers"].split(", ")
    assert {"authorization", "content-type", "content-encoding", "idempotency-key", "ce-type"} <= set(allowed)
    assert "access-control-allow-credentials" not in answer.headers


@pytest.mark.parametrize(
    "origin", [ELSEWHERE, "http://shop.example", "https://shop.example:8443", "https://a.shop.example", "null", "*"]
)
def test_pages_of_other_origins_are_allowed_nothing(client: Client, keyring: Keyring, origin: str) -> None:
    preflight = client.request("OPTIONS", "/api/events", headers={"Origin": origin, **ASKS})
    sent = client.post(nobodys(), {**bearer(keyring.shop), "Origin": origin})

    assert (preflight.status, sent.status) == (403, 403)
    for answer in (preflight, sent):
        assert cross_origin(answer.headers) == set()
        assert answer.headers["vary"] == "origin"


def test_options_that_are_no_preflight_say_which_methods_there_are(client: Client) -> None:
    answer = client.request("OPTIONS", "/api/events")

    assert (answer.status, answer.headers["allow"], cross_origin(answer.headers)) == (204, "OPTIONS, POST", set())


def test_a_script_may_read_every_answer(client: Client, queue: QueueContents, keyring: Keyring) -> None:
    page = {"Origin": SHOP}
    answers = [
        client.post(nobodys(), {**bearer(keyring.shop), **page}),
        client.post_batch([nobodys()], {**bearer(keyring.shop), **page}),
        client.post(nobodys(url=""), {**bearer(keyring.shop), **page}),
        client.post(nobodys(), page),
        client.post(nobodys(), {**bearer(keyring.blog), **page}),
        client.post(nobodys(), {**bearer(keyring.shop), **page, "Content-Type": "text/csv"}),
        client.post(b"x" * 70_000, {**bearer(keyring.shop), **page}),
        client.request("GET", "/api/events", headers=page),
    ]
    queue.drain()

    assert [answer.status for answer in answers] == [202, 202, 400, 401, 403, 415, 413, 405]
    for answer in answers:
        assert answer.headers["access-control-allow-origin"] == SHOP
        assert "retry-after" in answer.headers["access-control-expose-headers"]
        assert "ratelimit-remaining" in answer.headers["access-control-expose-headers"]
        assert "x-correlation-id" in answer.headers["access-control-expose-headers"]


def test_what_no_page_sent_has_no_such_headers(client: Client, queue: QueueContents, keyring: Keyring) -> None:
    answer = client.post(nobodys(), bearer(keyring.secret))
    queue.drain()

    assert (answer.status, cross_origin(answer.headers)) == (202, set())


@pytest.mark.parametrize("media_type", [TEXT, "application/json"])
def test_a_pages_key_may_stand_in_the_query(
    client: Client, queue: QueueContents, keyring: Keyring, media_type: str
) -> None:
    headers = {"Origin": SHOP, "Content-Type": media_type}
    single, batch = msgspec.json.encode(nobodys()), msgspec.json.encode([nobodys()])

    assert client.request("POST", f"/api/events?key={keyring.shop}", single, headers).status == 202
    assert client.request("POST", f"/api/v1/events/batch?v=1&key={keyring.shop}", batch, headers).status == 202
    assert [event["tenantId"] for event in queue.drain()] == ["acme", "acme"]


def test_a_pages_key_may_stand_in_the_body_and_goes_no_further(
    client: Client, queue: QueueContents, keyring: Keyring
) -> None:
    headers = {"Origin": SHOP, "Content-Type": TEXT}
    event = nobodys(amount=10**15 + 0.5)
    single = msgspec.json.encode({"cloudscaleKey": keyring.shop, **event})
    batch = msgspec.json.encode({"events": [nobodys(), nobodys()], "cloudscaleKey": keyring.shop})

    assert client.request("POST", "/api/events", single, headers).status == 202
    assert client.request("POST", "/api/events/batch", batch, headers).status == 202
    stored = queue.drain()
    assert [each["tenantId"] for each in stored] == ["acme"] * 3
    assert {name: stored[0][name] for name in event} == event
    assert not any("cloudscaleKey" in each for each in stored)
    # A copy with its key elsewhere is the same event.
    assert client.post(event, {**bearer(keyring.shop), "Origin": SHOP}).status == 409


class Misuse(NamedTuple):
    """A request that must not come in: ``{key}`` stands for a key, in the body as well."""

    name: str
    status: int
    key: str = "shop"
    path: str = "/api/events"
    body: bytes = b'{"eventType":"page_view","url":"https://shop.example/"}'
    origin: str | None = SHOP
    media_type: str = TEXT
    authorization: str | None = None
    encoding: str | None = None
    says: str = ""


_EVENT = b'"eventType":"page_view","url":"https://shop.example/"}'
_KEYED = b'{"cloudscaleKey":"{key}",' + _EVENT
_QUERY = "/api/events?key={key}"

MISUSES = [
    Misuse("query, no origin", 403, path=_QUERY, origin=None, says="names no Origin"),
    Misuse("query, empty origin", 403, path=_QUERY, origin=""),
    Misuse("query, origin null", 403, path=_QUERY, origin="null"),
    Misuse("query, another origin", 403, path=_QUERY, origin=ELSEWHERE),
    Misuse("query, another pages' origin", 403, path=_QUERY, origin=BLOG),
    Misuse("query, origin in capitals", 403, path=_QUERY, origin="https://SHOP.example"),
    Misuse("query, origin with a slash", 403, path=_QUERY, origin=SHOP + "/"),
    Misuse("query, origin with a port", 403, path=_QUERY, origin=SHOP + ":443"),
    Misuse("query, two origins in one", 403, path=_QUERY, origin=f"{SHOP} {ELSEWHERE}"),
    Misuse("query, origin as a prefix", 403, path=_QUERY, origin=SHOP + ".evil.example"),
    Misuse("query, secret key", 403, key="secret", path=_QUERY, says="rotate it"),
    Misuse("query, secret key without origin", 403, key="secret", path=_QUERY, origin=None, says="rotate it"),
    Misuse("query, secret key in an escaped name", 403, key="secret", path="/api/events?k%65y={key}"),
    Misuse("query, secret key for a batch", 403, key="secret", path="/api/events/batch?key={key}"),
    Misuse("query, secret key and JSON", 403, key="secret", path=_QUERY, media_type="application/json"),
    Misuse("query, unknown key", 401, key="unknown", path=_QUERY),
    Misuse("query, mistyped key", 401, path=_QUERY + "x"),
    Misuse("query, empty key", 401, path="/api/events?key="),
    Misuse("query, another name", 401, path="/api/events?apikey={key}"),
    Misuse("query, name in capitals", 401, path="/api/events?KEY={key}"),
    Misuse("query, twice", 401, path=_QUERY + "&key={key}", says="two keys"),
    Misuse("query, many parameters", 401, path=_QUERY + "&a=b" * 40, says="parameters"),
    Misuse("query, a token", 401, path="/api/events?key=eyJhbGciOiJub25lIn0.e30."),
    Misuse("query, Bearer and key", 401, path="/api/events?key=Bearer%20{key}"),
    Misuse("query and header", 401, path=_QUERY, authorization="Bearer {key}", says="send one"),
    Misuse("query and empty header", 401, path=_QUERY, authorization="", says="send one"),
    Misuse("query and body", 400, path=_QUERY, body=_KEYED, says="cloudscaleKey"),
    Misuse("header and body", 400, body=_KEYED, authorization="Bearer {key}", says="cloudscaleKey"),
    Misuse("body, no origin", 401, body=_KEYED, origin=None),
    Misuse("body, another origin", 401, body=_KEYED, origin=ELSEWHERE),
    Misuse("body, another pages' origin", 403, body=_KEYED, origin=BLOG),
    Misuse("body, JSON", 401, body=_KEYED, media_type="application/json"),
    Misuse("body, a form", 401, body=_KEYED, media_type="application/x-www-form-urlencoded"),
    Misuse("body, no type", 401, body=_KEYED, media_type=""),
    Misuse("body, secret key", 403, key="secret", body=_KEYED, says="rotate it"),
    Misuse("body, unknown key", 401, key="unknown", body=_KEYED),
    Misuse("body, no key", 401),
    Misuse("body, a number as key", 401, body=b'{"cloudscaleKey":1,' + _EVENT),
    Misuse("body, null as key", 401, body=b'{"cloudscaleKey":null,' + _EVENT),
    Misuse("body, a list of keys", 401, body=b'{"cloudscaleKey":["{key}"],' + _EVENT),
    Misuse("body, two keys", 401, body=b'{"cloudscaleKey":"{key}","cloudscaleKey":"{key}",' + _EVENT),
    Misuse(
        "body, two keys, one escaped", 401, body=rb'{"cloudscaleKey":"{key}","cloudscale\u004bey":"{key}",' + _EVENT
    ),
    Misuse("body, key below", 401, body=b'{"metadata":{"cloudscaleKey":"{key}"},' + _EVENT),
    Misuse("body, key of an event of a batch", 401, path="/api/events/batch", body=b"[" + _KEYED + b"]"),
    Misuse("body, broken", 401, body=b'{"cloudscaleKey":"{key}",'),
    Misuse("body, empty", 401, body=b""),
    Misuse("body, no object", 401, body=b'"{key}"'),
    Misuse("body, deep", 401, body=b'{"cloudscaleKey":"{key}","a":' + b"[" * 5000 + b"]" * 5000 + b"}"),
    Misuse("body, too large", 413, body=_KEYED[:-1] + b',"a":"' + b"x" * 66_000 + b'"}'),
    Misuse("body, not gzip", 400, body=_KEYED, encoding="gzip"),
    Misuse("body, unknown encoding", 415, body=_KEYED, encoding="br"),
    Misuse("body, another tenant", 403, body=b'{"cloudscaleKey":"{key}","tenantId":"contoso",' + _EVENT),
    Misuse("body, batch without events", 400, path="/api/events/batch", body=_KEYED),
    Misuse("query, another tenant", 403, path=_QUERY, body=b'{"tenantId":"contoso",' + _EVENT),
    Misuse("header, another tenant", 403, body=b'{"tenantId":"contoso",' + _EVENT, authorization="Bearer {key}"),
    Misuse("header, no origin", 403, origin=None, authorization="Bearer {key}", says="names no Origin"),
    Misuse("header, secret key in an event", 400, key="secret", body=_KEYED, authorization="Bearer {key}"),
]


@pytest.mark.parametrize("misuse", MISUSES, ids=lambda misuse: misuse.name)
def test_a_pages_misuse_is_refused_and_its_key_is_repeated_nowhere(
    service: IngestionServer, queue: QueueContents, keyring: Keyring, misuse: Misuse
) -> None:
    key = api_key.generate().text if misuse.key == "unknown" else getattr(keyring, misuse.key)
    client = Client(service.port, f"127.0.4.{MISUSES.index(misuse) + 1}")
    lines = [("Content-Type", misuse.media_type)] if misuse.media_type else []
    lines += [("Origin", misuse.origin)] if misuse.origin is not None else []
    lines += [("Content-Encoding", misuse.encoding)] if misuse.encoding else []
    if misuse.authorization is not None:
        lines.append(("Authorization", misuse.authorization.replace("{key}", key)))
    path, body = misuse.path.replace("{key}", key), misuse.body.replace(b"{key}", key.encode())
    answer = client.request("POST", path, body, lines)

    assert answer.status == misuse.status, answer.body
    assert misuse.says in answer.json()["detail"]
    assert key.rpartition("_")[2] not in answer.body.decode()
    assert queue.drain() == []


def test_no_secret_gets_into_the_log_or_into_redis(
    service: IngestionServer, client: Client, keyring: Keyring, cache_server: RedisServer
) -> None:
    headers = {"Origin": SHOP, "Content-Type": TEXT}
    wrong = b'{"cloudscaleKey":"%b","url":""}' % keyring.shop.encode()
    client.request("POST", "/api/events", wrong, headers)
    client.request("POST", f"/api/events?key={keyring.secret}", wrong, headers)
    client.post(nobodys(cloudscaleKey=keyring.secret), bearer(keyring.secret))
    client.post(b'{"cloudscaleKey":"%b"' % keyring.secret.encode(), bearer(keyring.secret))

    async def values() -> str:
        async with open_redis(cache_server.url) as redis:
            names = redis.scan_iter(match=f"cloudscale:default/{NAME}:*", count=1000)
            return repr([await redis.hgetall(name) async for name in names if await redis.type(name) == b"hash"])

    wait_until_sync(lambda: "cloudscaleKey" in asyncio.run(values()), within=timedelta(seconds=20))
    everything = asyncio.run(values()) + service.log_file.read_text()
    assert not any(key.rpartition("_")[2] in everything for key in keyring)


def test_a_public_key_has_a_limit_of_its_own(client: Client, queue: QueueContents, keyring: Keyring) -> None:
    first, second = [client.post(nobodys(), {**bearer(keyring.slow), "Origin": SHOP}) for _ in range(2)]
    other = client.post(nobodys(), {**bearer(keyring.shop), "Origin": SHOP})
    queue.drain()

    assert (first.status, second.status, other.status) == (202, 429, 202)
    assert second.headers["ratelimit-policy"].endswith('comment="key"')
    assert second.headers["access-control-allow-origin"] == SHOP
    assert "--requests-per-second" in second.json()["detail"]


class Sent(NamedTuple):
    """What a page, or somebody who poses as one, sends with a public key."""

    owner: str
    place: str
    tenant: object
    cloud_tenant: str | None
    origin: str | None
    in_batch: bool


some_sent = st.builds(
    Sent,
    owner=st.sampled_from(["shop", "blog"]),
    place=st.sampled_from(["header", "query", "body", "query and body", "header and query"]),
    tenant=st.sampled_from([None, "acme", "contoso", "ACME", "acme ", "", 1, ["contoso"], {"$ne": 1}]),
    cloud_tenant=st.sampled_from([None, "acme", "contoso"]),
    origin=st.sampled_from([SHOP, BLOG, ELSEWHERE, None]),
    in_batch=st.booleans(),
)


@given(sent=some_sent)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_a_public_key_sends_lands_in_its_tenant_or_nowhere(
    service: IngestionServer, queue: QueueContents, keyring: Keyring, sent: Sent
) -> None:
    key = getattr(keyring, sent.owner)
    event = nobodys() if sent.tenant is None else nobodys(tenantId=sent.tenant)
    body: object = [event] if sent.in_batch else event
    if "body" in sent.place:
        body = {"cloudscaleKey": key, "events": [event]} if sent.in_batch else {"cloudscaleKey": key, **event}
    path = "/api/events" + sent.in_batch * "/batch" + ("query" in sent.place) * f"?key={key}"
    lines = [("Content-Type", TEXT)]
    lines += [("Authorization", f"Bearer {key}")] if "header" in sent.place else []
    lines += [("Origin", sent.origin)] if sent.origin is not None else []
    lines += [("ce-tenantid", sent.cloud_tenant)] if sent.cloud_tenant is not None else []
    # Addresses enough, that none has to wait for its wrong tries.
    client = Client(service.port, f"127.0.{randrange(10, 250)}.{randrange(1, 250)}")
    answer = client.request("POST", path, msgspec.json.encode(body), lines)

    own, own_origin = ("acme", SHOP) if sent.owner == "shop" else ("contoso", BLOG)
    taken = " and " not in sent.place and sent.origin == own_origin and sent.tenant in (None, own)
    assert [each["tenantId"] for each in queue.drain()] == [own] * taken
    assert (answer.status == 202) == taken


def test_who_tries_keys_in_bodies_has_to_wait_and_is_not_read_any_more(service: IngestionServer) -> None:
    client = Client(service.port, "127.0.5.1")
    headers = {"Origin": SHOP, "Content-Type": TEXT}

    def attempt() -> int:
        body = b'{"cloudscaleKey":"%b"}' % api_key.generate().text.encode()
        return client.request("POST", "/api/events", body, headers).status

    statuses = [attempt()]
    # On a slow machine attempts come back while others are made.
    while statuses[-1] == 401 and len(statuses) < 300:
        statuses.append(attempt())
    assert len(statuses) > 30
    assert statuses[-1] == 429


def test_the_script_is_small_and_cacheable(client: Client) -> None:
    answer = client.request("GET", "/cloudscale.js", headers={"Origin": SHOP})

    assert answer.status == 200
    assert len(answer.body) <= 2048
    assert answer.headers["content-type"].startswith("text/javascript")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cross-origin-resource-policy"] == "cross-origin"
    assert answer.headers["cache-control"] == "public, max-age=3600"
    assert answer.headers["access-control-allow-origin"] == SHOP
    tag = answer.headers["etag"]
    for known in (tag, f"W/{tag}", f'"other", {tag}', "*"):
        again = client.request("GET", "/cloudscale.js", headers={"If-None-Match": known})
        assert (again.status, again.body, again.headers["etag"]) == (304, b"", tag)
    assert client.request("GET", "/cloudscale.js", headers={"If-None-Match": '"other"'}).status == 200
