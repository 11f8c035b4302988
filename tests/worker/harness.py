"""A pipeline of its own for one test: its queue, its containers, its keys, and workers that serve it."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import uuid
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Self

import msgspec
from azure.servicebus import ServiceBusMessage
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import ConstantBackoff
from tests.ledger.counting import counted
from tests.waiting import wait_until

from cloudscale import pipeline
from cloudscale.cache.keys import keys_of
from cloudscale.events.enrichment import Origin, enrich
from cloudscale.events.types import EventTypes
from cloudscale.ledger.dead_letters import DeadLetterLedger
from cloudscale.queue.administration import QueueAdministration
from cloudscale.queue.connection import NO_KEEP_ALIVE, open_client
from cloudscale.queue.dead_letters import DeadLetter, DeadLetters
from cloudscale.settings import Settings, as_environment
from cloudscale.store.alerts import Alert, AlertStore
from cloudscale.store.events import EventStore
from cloudscale.store.latest import EventFilter
from cloudscale.store.profiles import ProfileStore
from cloudscale.worker.service import Worker

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
    from pathlib import Path

    from tests.servers.cosmos import CosmosServer
    from tests.servers.redis import RedisServer
    from tests.servers.servicebus import ServiceBusServer

Document = dict[str, Any]

PATIENCE = timedelta(seconds=60)
RETRIES = {"attempts": 2, "initialDelay": "50ms", "factor": 2}
BREAKER = {"failureRatio": 0.5, "window": "5s", "minimumCalls": 5, "openFor": "500ms"}


@dataclass(frozen=True)
class Backends:
    """The running servers."""

    broker: ServiceBusServer
    cosmos: CosmosServer
    redis: RedisServer


class Harness:
    """One pipeline on the backends. ``processing`` replaces parts of ``spec.processing``."""

    def __init__(self, backends: Backends, directory: Path) -> None:
        self.backends = backends
        self.directory = directory
        self.name = f"p{uuid.uuid4().hex[:12]}"
        self.processing: Document = {"retries": RETRIES, "circuitBreaker": BREAKER, "concurrency": {"interval": "1s"}}
        self.queue: Document = {}
        self.storage: Document = {}
        self.event_types: list[Document] = []
        self._exits = AsyncExitStack()

    async def __aenter__(self) -> Self:
        self.store = await self._exits.enter_async_context(EventStore(self.resource.spec.store, self.settings))
        await self.store.ensure()
        self.profiles = ProfileStore(self.store)
        await self.use_queue()
        self.cache = Redis.from_url(self.backends.redis.url, retry=Retry(ConstantBackoff(0.1), 20))
        self._exits.push_async_callback(self.cache.aclose)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._exits.aclose()

    async def use_queue(self, **options: object) -> None:
        """Create a queue with the resource's ``spec.queue`` options, and use it from now on."""
        self.queue = {"name": f"{self.name}-{uuid.uuid4().hex[:4]}", **options}
        self.administration = await self._exits.enter_async_context(
            QueueAdministration(self.resource.spec.queue, self.settings)
        )
        await self.administration.ensure_queue()
        await self.reconnect()

    async def reconnect(self) -> None:
        """Open a sender, at the start and after the broker was away."""
        client = await self._exits.enter_async_context(open_client(self.resource.spec.queue, self.settings))
        self._sender = await self._exits.enter_async_context(
            client.get_queue_sender(self.queue["name"], keep_alive=NO_KEEP_ALIVE)
        )

    @property
    def resource(self) -> pipeline.EventPipeline:
        """The resource as it is configured now."""
        return pipeline.load(self._document)

    @property
    def settings(self) -> Settings:
        """The settings of a worker."""
        return Settings(
            pipeline_file=str(self.directory / "pipeline.json"),
            redis_url=self.backends.redis.url,
            servicebus_connection_string=self.backends.broker.connection_string,
            cosmos_connection_string=self.backends.cosmos.connection_string,
            servicebus_management_url=self.backends.broker.management_url,
            certificate_authority_file=str(self.backends.broker.certificate_authority),
            metrics_port=0,
            log_format="console",
        )

    @property
    def spec(self) -> Document:
        """The resource's ``spec`` as it is configured now."""
        return {
            "queue": self.queue,
            "store": {"database": self.name, "container": "Events", **self.storage},
            "processing": self.processing,
            "eventTypes": self.event_types,
        }

    @property
    def _document(self) -> Document:
        return {
            "apiVersion": "cloudscale.io/v1alpha1",
            "kind": "EventPipeline",
            "metadata": {"name": self.name},
            "spec": self.spec,
        }

    @asynccontextmanager
    async def worker(self) -> AsyncIterator[Worker]:
        """A worker in this process; it is stopped in good order."""
        worker = Worker(self.resource, self.settings)
        running = asyncio.create_task(worker.run())
        try:
            yield worker
        finally:
            worker.stopping.set()
            async with asyncio.timeout(PATIENCE.total_seconds()):
                await running

    def write_resource(self) -> None:
        """Write the resource as it is configured now where ``settings`` say that it is."""
        (self.directory / "pipeline.json").write_bytes(msgspec.json.encode(self._document))

    def start_process(self) -> subprocess.Popen[bytes]:
        """A worker as a process of its own."""
        self.write_resource()
        with (self.directory / "worker.log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "cloudscale.worker"],
                env={**os.environ, **as_environment(self.settings)},
                stdout=log,
                stderr=log,
            )

    async def accept(
        self, events: Sequence[Document], *, address: str = "", at: datetime | None = None, key: str | None = None
    ) -> list[Document]:
        """Do what ingestion does before it sends: enrich events and enter them in the ledger."""
        types = EventTypes(self.resource.spec.event_types)
        enriched = [
            enrich(
                event,
                types.check(event),
                Origin(
                    client_address=address or f"10.0.{index % 250}.{uuid.uuid4().int % 250}",
                    correlation_id=uuid.uuid4().hex,
                    received_at=at or datetime.now(UTC),
                    idempotency_key=key,
                ),
            )
            for index, event in enumerate(events)
        ]
        await self.cache.hset(keys_of(self.resource).inflight, mapping={each.field: "c1" for each in enriched})
        return [each.document for each in enriched]

    async def send(self, documents: Sequence[object], **options: Any) -> None:
        """Send events in one message."""
        await self.send_body(msgspec.json.encode(documents), **options)

    async def send_body(self, body: bytes, **options: Any) -> None:
        """Send a message."""
        await self.send_messages([ServiceBusMessage(body, content_type="application/json", **options)])

    async def send_messages(self, messages: list[ServiceBusMessage]) -> None:
        """Send messages in one transfer."""
        await self._sender.send_messages(messages)

    async def stored(self, count: int, *, within: timedelta = PATIENCE) -> list[Document]:
        """The stored events, once there are so many."""

        async def enough() -> bool:
            return await self.store.count() >= count

        await wait_until(enough, within=within)
        found = await self.store.find_events(EventFilter(), limit=count + 10)
        assert len(found) == count
        return found

    async def in_flight(self) -> int:
        """Acceptances that are not settled."""
        return int(await self.cache.hlen(keys_of(self.resource).inflight))

    async def settled(self) -> None:
        """Wait until every acceptance is settled."""
        await self.until(self._is_settled)

    async def _is_settled(self) -> bool:
        return await self.in_flight() == 0

    async def counter(self, name: str) -> int:
        """One of the ledger's totals: ``duplicates`` or ``dead``."""
        return await counted(self.cache, keys_of(self.resource), name)

    async def until(self, condition: Callable[[], Awaitable[bool]], *, within: timedelta = PATIENCE) -> None:
        """Wait until a condition holds."""
        await wait_until(condition, within=within)

    async def emptied(self) -> None:
        """Wait until the queue has no active message."""

        async def empty() -> bool:
            return (await self.administration.depth()).active == 0

        await self.until(empty)

    @asynccontextmanager
    async def dead_letters(self) -> AsyncIterator[DeadLetters]:
        """The dead letters, with the ledger they are entered in again."""
        ledger = DeadLetterLedger(self.cache, keys=keys_of(self.resource))
        async with DeadLetters(self.resource.spec.queue, self.settings, ledger=ledger) as letters:
            yield letters

    async def dead(self, count: int) -> list[DeadLetter]:
        """The dead letters, once there are so many."""

        async def enough() -> bool:
            return (await self.administration.depth()).dead_letters >= count

        await self.until(enough)
        async with self.dead_letters() as letters:
            return await letters.list()

    async def alerts(self, count: int) -> list[Alert]:
        """The alerts, once there are so many."""
        alerts = AlertStore(self.store)

        async def enough() -> bool:
            return len(await alerts.find_alerts()) >= count

        await self.until(enough)
        return await alerts.find_alerts()


def page_view(user: str = "u1", **fields: Any) -> Document:
    """A page view as a client sends it."""
    return {"eventType": "page_view", "tenantId": "t1", "userId": user, "url": "https://shop.example/", **fields}


def purchase(user: str = "u1", amount: float = 9.99, **fields: Any) -> Document:
    """A purchase as a client sends it."""
    return {
        "eventType": "purchase",
        "tenantId": "t1",
        "userId": user,
        "actionName": "checkout",
        "amount": amount,
        "currency": "EUR",
        **fields,
    }


def add_to_cart(user: str = "u1", **fields: Any) -> Document:
    """A filled cart as a client sends it."""
    return {"eventType": "user_action", "tenantId": "t1", "userId": user, "actionName": "add_to_cart", **fields}


def end(process: subprocess.Popen[bytes], number: signal.Signals = signal.SIGTERM) -> int:
    """Send a signal and wait for the exit code."""
    process.send_signal(number)
    return process.wait(PATIENCE.total_seconds())
