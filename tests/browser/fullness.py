"""Fills a pipeline's backends as if it had run for long: many events, their users, dead letters and a backlog.

Nobody works on them meanwhile, so that what pages say of them holds still.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import threading
import time
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec
from azure.servicebus import ServiceBusMessage
from redis import Redis
from redis.exceptions import RedisError
from tests.browser.traffic import TENANTS, event
from tests.emulators.cosmos.stores import open_catalogue

from cloudscale.events.timestamps import as_utc
from cloudscale.queue.connection import open_client
from cloudscale.store.alerts import Alert, AlertStore
from cloudscale.store.events import EventStore
from cloudscale.store.profiles import BUCKETS, Profile, ProfileStore, partition_of, profile_id
from cloudscale.telemetry.figures import Figures

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from azure.servicebus.aio import ServiceBusClient
    from tests.servers.cosmos import CosmosServer

    from cloudscale.pipeline import EventPipeline
    from cloudscale.settings import Settings

EVENTS = 130_000
USERS = 900
"""Of each tenant."""
ALERTS = 300
EVENTS_A_WRITE = 1_000
DEAD_LETTERS = {"MaxRetriesExceeded": 250, "ValidationFailed": 30}
BACKLOG_MESSAGES = 5_200
MESSAGES_AT_ONCE = 400
SECONDS_A_RECEIVE = 10
EVERY = timedelta(milliseconds=20)
"""Between one event and the next."""


def fill(resource: EventPipeline, settings: Settings, store: CosmosServer) -> None:
    """Fill the store and the queue of a pipeline.

    Events are put into the store's file by the emulator's own code while the emulator is away: through its door, most
    of the time would go to the client.
    """
    asyncio.run(_create_containers(resource, settings))
    store.kill()
    asyncio.run(_store_events(store.directory, resource.spec.store.container))
    store.start()
    asyncio.run(_fill_the_rest(resource, settings))


async def _create_containers(resource: EventPipeline, settings: Settings) -> None:
    async with EventStore(resource.spec.store, settings) as store:
        await store.ensure()


async def _store_events(directory: Path, container: str) -> None:
    began = datetime.now(UTC) - EVENTS * EVERY
    async with open_catalogue(directory) as (storage, catalogue):
        [documents] = [each for each in catalogue.all_containers() if each.container.id == container]

        def write(part: range) -> None:
            for number in part:
                documents.create(msgspec.json.encode(_document(number, began + number * EVERY)), None)

        for start in range(0, EVENTS, EVENTS_A_WRITE):
            await storage.write(partial(write, range(start, start + EVENTS_A_WRITE)))


async def _fill_the_rest(resource: EventPipeline, settings: Settings) -> None:
    async with EventStore(resource.spec.store, settings) as store:
        for tenant in TENANTS:
            await _store_profiles(ProfileStore(store), tenant)
        await AlertStore(store).raise_alerts([_alert(number) for number in range(ALERTS)])
    async with open_client(resource.spec.queue, settings) as client:
        name = resource.spec.queue.name
        for reason, count in DEAD_LETTERS.items():
            await _bury(client, name, reason=reason, count=count)
        await _send(client, name, count=BACKLOG_MESSAGES)


def _document(number: int, at: datetime) -> dict[str, Any]:
    content = event()
    moment = as_utc(at)
    tenant = content["tenantId"]
    return {
        "id": content["eventId"],
        "partitionKey": f"{tenant}:{moment[:7]}",
        **content,
        "userId": f"visitor-{number % USERS}",
        "createdAt": moment,
        "receivedAt": moment,
        "processedAt": moment,
        "clientAddress": f"10.0.{number % 3}.{number % 7}",
        "correlationId": f"{number:032x}",
        "payloadHash": f"{number:064x}",
        "acceptance": f"{number:032x}",
        "suspicious": number % 500 == 0,
    }


async def _store_profiles(profiles: ProfileStore, tenant: str) -> None:
    now = as_utc(datetime.now(UTC))
    by_partition: dict[str, list[Profile]] = {}
    for number in range(USERS):
        user = f"visitor-{number}"
        partition = partition_of(tenant, user)
        profile = Profile(
            id=profile_id(user),
            partition_key=partition,
            tenant_id=tenant,
            user_id=user,
            score=random.randrange(1, 5_000),
            events=number,
            first_seen=now,
            last_seen=now,
        )
        by_partition.setdefault(partition, []).append(profile)
    assert len(by_partition) == BUCKETS
    for each in by_partition.values():
        for start in range(0, len(each), 100):
            assert await profiles.write(each[start : start + 100])


def _alert(number: int) -> Alert:
    return Alert(
        id=f"velocity-{number}",
        kind="velocity",
        tenant_id="contoso",
        created_at=as_utc(datetime.now(UTC)),
        client_address="10.0.0.1",
        evidence={"rule": "velocity", "count": number},
    )


async def _send(client: ServiceBusClient, queue: str, *, count: int) -> None:
    async with client.get_queue_sender(queue) as sender:
        for start in range(0, count, MESSAGES_AT_ONCE):
            events = [msgspec.json.encode([event()]) for _ in range(min(MESSAGES_AT_ONCE, count - start))]
            await sender.send_messages([ServiceBusMessage(each) for each in events])


async def _bury(client: ServiceBusClient, queue: str, *, reason: str, count: int) -> None:
    """Send messages and dead-letter them, while there are no others in the queue."""
    await _send(client, queue, count=count)
    buried = 0
    async with client.get_queue_receiver(queue) as receiver:
        while buried < count:
            messages = await receiver.receive_messages(count - buried, max_wait_time=SECONDS_A_RECEIVE)
            assert messages
            for message in messages:
                await receiver.dead_letter_message(message, reason=reason, error_description="Made for a test.")
            buried += len(messages)


@contextlib.contextmanager
def publishing(redis_url: str, *, key: str) -> Iterator[None]:
    """Figures of an ingestion and a worker for as long as the block lasts; they take in and process a little."""
    over = threading.Event()

    def publish() -> None:
        started = time.time()
        with Redis.from_url(redis_url) as redis:
            while not over.wait(1):
                at = time.time()
                taken = {"page_view": {"contoso": (at - started) * 10}}
                with contextlib.suppress(RedisError, OSError):
                    for role in ("ingestion", "worker"):
                        figures = Figures(
                            role=role, process=role, started_at=started, at=at, accepted=taken, concurrency_limit=32
                        )
                        redis.hset(key, role, msgspec.json.encode(figures))

    thread = threading.Thread(target=publish, name="figures")
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
