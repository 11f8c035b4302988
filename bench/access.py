"""``python -m bench access``: what it costs to know who sends, with many devices, and against those whom nobody knows.

Three proofs on real servers: an ingestion service with its broker, Redis and store.

- *cost*: CPU time of ingestion an event with a key, and with a token, that are known already, against a service that
  takes events of anybody; the loads take turns, so that the machine's moods meet all of them. The time of
  authentication alone is measured as well, in this process: the bounds are smaller than what two loads differ by.
- *devices*: requests of random devices, each with a key of its own, sent on schedule whatever the service does.
- *strangers*: requests with invented keys for invented tenants, from many addresses; Redis is looked at before and
  after.
"""

from __future__ import annotations

import asyncio
import json
import random
import statistics
import tempfile
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from redis import Redis
from tests.access.signing import KEYS, token
from tests.servers.access_directory import administration_of
from tests.servers.cosmos import CosmosServer, cosmos_server
from tests.servers.ingestion import UNLIMITED, IngestionServer, ingestion_server
from tests.servers.redis import RedisServer, redis_server
from tests.servers.servicebus import servicebus_server
from tests.servers.token_issuer import TokenIssuerServer, token_issuer

from bench.authentication_cost import measure as measure_authentication
from bench.keep_alive import Connection, request_of, send_at_rate, send_from_many_addresses
from bench.processes import cpu_seconds, resident_megabytes
from cloudscale.access import api_key
from cloudscale.access.container import open_access
from cloudscale.access.records import Device, Key
from cloudscale.access.scopes import Scope
from cloudscale.pipeline import Store
from cloudscale.settings import Settings
from cloudscale.tasks import gather_all

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

NAME: Final = "access"
TENANT: Final = "acme"
SEED: Final = 20261128
KEY_BOUND_MICROSECONDS: Final = 4.0
TOKEN_BOUND_MICROSECONDS: Final = 8.0
P99_BOUND_MILLISECONDS: Final = 200.0
MEMORY_BOUND_RATIO: Final = 1.05
KEYS_BOUND: Final = 50
"""By which Redis may grow over strangers: what is refused is counted in some places for the dashboard."""
DEVICES_PER_SECOND: Final = 2_000
DEVICE_CONNECTIONS: Final = 512
"""More than the requests that wait where each is answered within 200 ms."""
CREATING_AT_ONCE: Final = 16
WARM_UP_REQUESTS: Final = 1_200
WARM_UP_ADDRESSES: Final = 600
"""More than ingestion counts refusals of in an hour."""
REQUESTS_AN_ADDRESS: Final = 20
ADDRESSES: Final = 60_000
EVENT: Final = {"eventType": "page_view", "url": "https://shop.example/hats"}


@dataclass(frozen=True)
class Size:
    """How much is sent."""

    rounds: int = 9
    round_requests: int = 4_000
    devices: int = 100_000
    device_seconds: int = 60
    strangers: int = 1_000_000


SMALL: Final = Size(rounds=1, round_requests=200, devices=50, device_seconds=2, strangers=2_000)


@dataclass(frozen=True)
class _Place:
    """The servers under test; ``opened`` takes events of anybody."""

    guarded: IngestionServer
    opened: IngestionServer
    store: CosmosServer
    cache: RedisServer
    issuer: TokenIssuerServer


def measure(size: Size) -> dict[str, Any]:
    """The figures of all three proofs, and under ``failures`` the bounds that were broken."""
    with tempfile.TemporaryDirectory() as directory, _place(Path(directory)) as place:
        cost = asyncio.run(_cost(place, size))
        devices = asyncio.run(_devices(place, size))
        strangers = asyncio.run(_strangers(place, size))
    figures = {"cost": cost, "devices": devices, "strangers": strangers}
    return {**figures, "failures": failures_of(figures)}


def failures_of(figures: dict[str, Any]) -> list[str]:
    """The bounds that the figures break."""
    cost, devices, strangers = figures["cost"], figures["devices"], figures["strangers"]
    checks = {
        "authentication by key": (cost["authenticationMicroseconds"]["key"], KEY_BOUND_MICROSECONDS),
        "authentication by token": (cost["authenticationMicroseconds"]["token"], TOKEN_BOUND_MICROSECONDS),
        "p99 of random devices": (devices["p99Milliseconds"], P99_BOUND_MILLISECONDS),
        "Redis' memory after strangers": (strangers["memoryRatio"], MEMORY_BOUND_RATIO),
        "keys in Redis after strangers": (strangers["keysAfter"] - strangers["keysBefore"], KEYS_BOUND),
    }
    broken = [f"{name} is {value}, above {bound}" for name, (value, bound) in checks.items() if value > bound]
    if set(devices["statuses"]) != {"202"}:
        broken.append(f"devices were answered {devices['statuses']}")
    if not set(strangers["statuses"]) <= {"401", "429", "503"}:
        broken.append(f"strangers were answered {strangers['statuses']}")
    return broken


@contextmanager
def _place(directory: Path) -> Iterator[_Place]:
    with ExitStack() as servers:

        def started(name: str) -> Path:
            (directory / name).mkdir()
            return directory / name

        store = servers.enter_context(cosmos_server(started("store")))
        cache = servers.enter_context(redis_server(started("redis")))
        broker = servers.enter_context(servicebus_server(started("broker")))
        issuer = servers.enter_context(token_issuer(list(KEYS)))
        tokens = [{"issuer": issuer.url, "audiences": ["cloudscale"]}]

        def ingestion(name: str, access: dict[str, Any], guarded_by: CosmosServer | None) -> IngestionServer:
            # No worker runs: what waits in the queue must not be the reason of a refusal.
            intake = {"rateLimits": UNLIMITED, "shedAbove": {"queueDepth": 1_000_000_000}}
            spec = {"queue": {"name": name}, "ingestion": intake, "access": access}
            return servers.enter_context(
                ingestion_server(
                    started(f"ingestion-{name}"), broker=broker, cache=cache, spec=spec, name=name, store=guarded_by
                )
            )

        guarded = ingestion(NAME, {"tokens": tokens}, store)
        opened = ingestion("open", {}, None)
        yield _Place(guarded, opened, store, cache, issuer)


def process_ids(server: IngestionServer) -> list[int]:
    """The process of a service and its children."""
    parent = server.process.pid
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text()
    return [parent, *map(int, children.split())]


async def _cost(place: _Place, size: Size) -> dict[str, Any]:
    async with administration_of(NAME, store=place.store, cache=place.cache) as administration:
        await administration.create_tenant(TENANT)
        key = (await administration.create_key(TENANT, "bench")).text
    now = int(time.time())
    known_token = token(
        place.issuer.url, tenant_id=TENANT, scope="events:write", iat=now - 60, nbf=now - 60, exp=now + 24 * 3600
    )
    body = json.dumps(EVENT).encode()
    loads = {
        "open": (place.opened, request_of(json.dumps({**EVENT, "tenantId": TENANT}).encode())),
        "key": (place.guarded, request_of(body, authorization=key)),
        "token": (place.guarded, request_of(body, authorization=known_token)),
    }
    spent: dict[str, list[float]] = {name: [] for name in loads}
    for number in range(size.rounds + 1):
        for name, (server, request) in loads.items():
            before = cpu_seconds(process_ids(server))
            await _closed_loop(server, request, count=size.round_requests)
            if number:
                # The first round warms up.
                spent[name].append((cpu_seconds(process_ids(server)) - before) / size.round_requests * 1_000_000)
    medians = {name: round(statistics.median(each), 1) for name, each in spent.items()}
    more = {
        name: round(statistics.median(own - open_ for own, open_ in zip(spent[name], spent["open"], strict=True)), 1)
        for name in ("key", "token")
    }
    return {
        "rounds": size.rounds,
        "requestsARound": size.round_requests,
        "ingestionMicrosecondsAnEvent": medians,
        "moreThanOpenMicroseconds": more,
        "authenticationMicroseconds": await measure_authentication(),
    }


async def _closed_loop(server: IngestionServer, request: bytes, *, count: int, connections: int = 32) -> None:
    numbers = iter(range(count))

    async def work() -> None:
        connection = await Connection.open(server.port)
        for _ in numbers:
            (status,) = await connection.send([request])
            if status != 202:
                raise RuntimeError(f"the service answered {status}")
        await connection.close()

    await gather_all(work() for _ in range(connections))


async def _devices(place: _Place, size: Size) -> dict[str, Any]:
    keys = await _create_devices(place, size.devices)
    generator = random.Random(SEED)
    requests = [request_of(json.dumps(EVENT).encode(), authorization=key) for key in keys]
    count = DEVICES_PER_SECOND * size.device_seconds
    ids = process_ids(place.guarded)
    before = cpu_seconds(ids)
    answers = await send_at_rate(
        place.guarded.port,
        lambda _: generator.choice(requests),
        count=count,
        per_second=DEVICES_PER_SECOND,
        connections=DEVICE_CONNECTIONS,
    )
    with Redis("127.0.0.1", port=place.cache.port) as redis:
        used: int = redis.info("memory")["used_memory"]
    return {
        "devices": size.devices,
        "requestsPerSecond": DEVICES_PER_SECOND,
        "seconds": size.device_seconds,
        "statuses": {str(status): number for status, number in answers.statuses.items()},
        "p50Milliseconds": answers.percentile(0.5),
        "p99Milliseconds": answers.percentile(0.99),
        "ingestionMicrosecondsAnEvent": round((cpu_seconds(ids) - before) / count * 1_000_000, 1),
        "ingestionMegabytes": round(resident_megabytes(ids), 1),
        "redisMegabytes": round(used / 2**20, 1),
    }


async def _create_devices(place: _Place, count: int) -> Sequence[str]:
    """The keys of new devices.

    They are put into the store without telling the services, which have never heard of them.
    """
    texts: list[str] = []
    numbers = iter(range(count))
    settings = Settings(pipeline_file="", redis_url="", cosmos_connection_string=place.store.connection_string)
    async with open_access(Store(), settings) as container:

        async def work() -> None:
            for number in numbers:
                made, now, name = api_key.generate(), datetime.now(UTC), f"device-{number}"
                await container.create(Device(id=name, tenant_id=TENANT, created_at=now))
                key = Key(
                    id=made.id, tenant_id=TENANT, name=name, digest=api_key.digest_of(made.secret), created_at=now,
                    scopes=frozenset({Scope.WRITE_EVENTS}), device_id=name,
                )  # fmt: skip
                await container.create(key)
                texts.append(made.text)

        await gather_all(work() for _ in range(CREATING_AT_ONCE))
    return texts


async def _strangers(place: _Place, size: Size) -> dict[str, Any]:
    def request(number: int) -> bytes:
        body = json.dumps({**EVENT, "tenantId": f"invented-{number}"}).encode()
        return request_of(body, authorization=api_key.generate().text)

    async def send(count: int, *, at_once: int) -> dict[int, int]:
        return await send_from_many_addresses(
            place.guarded.port, request, count=count, at_once=at_once, addresses=ADDRESSES
        )

    # What is counted of refusals has its places after this.
    await send(WARM_UP_REQUESTS, at_once=WARM_UP_REQUESTS // WARM_UP_ADDRESSES)
    ids = process_ids(place.guarded)
    megabytes = resident_megabytes(ids)
    with Redis("127.0.0.1", port=place.cache.port) as redis:
        before = _redis_of(redis)
        began = time.monotonic()
        statuses = await send(size.strangers, at_once=REQUESTS_AN_ADDRESS)
        seconds = time.monotonic() - began
        after = _redis_of(redis)
    return {
        "requests": size.strangers,
        "seconds": round(seconds, 1),
        "statuses": {str(status): number for status, number in statuses.items()},
        "keysBefore": before[0],
        "keysAfter": after[0],
        "memoryRatio": round(after[1] / before[1], 3),
        "redisMegabytes": round(after[1] / 2**20, 1),
        "ingestionMegabytesBefore": round(megabytes, 1),
        "ingestionMegabytesAfter": round(resident_megabytes(ids), 1),
    }


def _redis_of(redis: Redis) -> tuple[int, int]:
    """How many keys it has, and how many bytes it uses."""
    size: Any = redis.dbsize()
    memory: Any = redis.info("memory")
    return size, memory["used_memory"]
