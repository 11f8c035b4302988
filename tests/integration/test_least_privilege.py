"""Services that have the rights of their role and no others: they do their work, and what is not theirs is refused."""

from __future__ import annotations

import base64
import os
import secrets
import sys
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import pytest
from tests.ingestion.client import Client, bearer
from tests.servers.access_directory import administration_of
from tests.servers.cosmos import CosmosServer
from tests.servers.ingestion import UNLIMITED, ingestion_server
from tests.servers.process import AnsweringServer, answers_ok, running
from tests.servers.servicebus import ServiceBusServer
from tests.waiting import wait_until

from cloudscale.access.new_keys import KeyRights
from cloudscale.access.scopes import Scope
from cloudscale.cache.keys import Keys
from cloudscale.errors import CredentialError
from cloudscale.ledger.shared_depth import SharedDepth
from cloudscale.local.ports import find_free_ports
from cloudscale.pipeline import Queue, Store
from cloudscale.queue.administration import QueueAdministration
from cloudscale.queue.connection import open_client, translated
from cloudscale.settings import Settings, as_environment
from cloudscale.store.events import EventStore

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from redis.asyncio import Redis
    from tests.servers.redis import RedisServer

RIGHTS = {"ingestion": "Send", "worker": "Listen,Send", "operator": "EntityRead"}
NAME = "guarded"
READ_ONLY_KEY = base64.b64encode(secrets.token_bytes(64)).decode()
SOON = timedelta(seconds=60)


@dataclass
class BrokerOfRole(ServiceBusServer):
    """The broker as a role knows it: with a key of its own."""

    role: str = ""

    @property
    def connection_string(self) -> str:
        """The address with the role's key."""
        text = super().connection_string
        return text.replace("RootManageSharedAccessKey", self.role).replace(self.key, f"key-of-{self.role}")


class StoreToRead(CosmosServer):
    """The store as ingestion knows it."""

    @property
    def account_key(self) -> str:
        """The key that only reads."""
        return READ_ONLY_KEY


class Backends(NamedTuple):
    """The backends, of which each role gets its own view."""

    broker: ServiceBusServer
    store: CosmosServer
    cache: RedisServer

    def broker_of(self, role: str) -> BrokerOfRole:
        """The broker with a role's key."""
        broker = self.broker
        return BrokerOfRole(broker.directory, port=broker.port, management_port=broker.management_port, role=role)

    def settings_of(self, role: str) -> Settings:
        """The settings of a role."""
        store = StoreToRead(self.store.directory, port=self.store.port) if role == "ingestion" else self.store
        return Settings(
            pipeline_file="",
            redis_url=self.cache.url,
            servicebus_connection_string=self.broker_of(role).connection_string,
            servicebus_management_url=self.broker.management_url,
            cosmos_connection_string=store.connection_string,
            certificate_authority_file=str(self.broker.certificate_authority),
            log_format="console",
        )


@dataclass
class WorkerServer(AnsweringServer):
    """A worker as a process."""

    settings: Settings
    port: int = 0

    def command(self) -> list[str]:
        """The worker, with its resource written down."""
        document = {"apiVersion": "cloudscale.io/v1alpha1", "kind": "EventPipeline", "metadata": {"name": NAME}}
        (self.directory / "pipeline.json").write_bytes(msgspec.json.encode(document))
        return [sys.executable, "-m", "cloudscale.worker"]

    def environment(self) -> dict[str, str]:
        """Its settings, with a free port."""
        (self.port,) = find_free_ports("127.0.0.1", 1)
        file = str(self.directory / "pipeline.json")
        settings = msgspec.structs.replace(self.settings, pipeline_file=file, metrics_port=self.port)
        return {**os.environ, **as_environment(settings)}

    def is_ready(self) -> bool:
        """Whether it processes events."""
        return answers_ok(f"http://127.0.0.1:{self.port}/ready")


@pytest.fixture(scope="module")
def backends(tmp_path_factory: pytest.TempPathFactory, cache_server: RedisServer) -> Iterator[Backends]:
    directory = tmp_path_factory.mktemp("guarded")
    options: list[str] = []
    for role, rights in RIGHTS.items():
        (directory / role).write_text(f"key-of-{role}")
        options += ["--shared-access-policy", f"{role}:{rights}:{directory / role}"]
    (directory / "read-only.key").write_text(READ_ONLY_KEY)
    reading = ("--read-only-key-file", str(directory / "read-only.key"))
    with (
        running(ServiceBusServer(directory / "broker", (Queue().name,), tuple(options))) as broker,
        running(CosmosServer(directory / "store", reading)) as store,
    ):
        yield Backends(broker, store, cache_server)


async def test_an_event_goes_all_the_way_with_the_rights_of_each_role(backends: Backends, tmp_path: Path) -> None:
    async with administration_of(NAME, store=backends.store, cache=backends.cache) as administration:
        await administration.create_tenant("acme")
        key = await administration.create_key("acme", "web", rights=KeyRights(scopes=frozenset({Scope.WRITE_EVENTS})))
    store = StoreToRead(backends.store.directory, port=backends.store.port)
    with (
        running(WorkerServer(tmp_path / "worker", backends.settings_of("worker"))),
        ingestion_server(
            tmp_path / "ingestion",
            broker=backends.broker_of("ingestion"),
            cache=backends.cache,
            store=store,
            spec={"ingestion": {"rateLimits": UNLIMITED}},
            name=NAME,
        ) as ingestion,
    ):
        event = {"eventType": "page_view", "userId": "u1", "url": "https://example.com/"}
        answer = Client(ingestion.port).post(event, bearer(key.text))
        assert answer.status == 202
        async with EventStore(Store(), backends.settings_of("worker")) as kept:
            container = kept.client.get_database_client(Store().database).get_container_client(Store().container)

            async def is_stored() -> bool:
                rows = container.query_items("SELECT c.tenantId FROM c WHERE c.userId = 'u1'")
                return [row["tenantId"] async for row in rows] == ["acme"]

            await wait_until(is_stored, within=SOON)


async def test_ingestion_may_not_look_into_the_queue(backends: Backends) -> None:
    async with open_client(Queue(), backends.settings_of("ingestion"), retries=0) as client:
        with pytest.raises(CredentialError), translated("look into the queue"):
            async with client.get_queue_receiver(Queue().name) as receiver:
                await receiver.peek_messages()


async def test_ingestion_may_not_change_the_directory(backends: Backends) -> None:
    store = StoreToRead(backends.store.directory, port=backends.store.port)
    with pytest.raises(CredentialError, match="read-only key"):
        async with administration_of(NAME, store=store, cache=backends.cache) as administration:
            await administration.create_tenant("intruder")


@pytest.mark.parametrize("role", ["ingestion", "worker", "operator"])
async def test_nobody_may_create_another_queue(backends: Backends, role: str) -> None:
    async with QueueAdministration(Queue(name="another"), backends.settings_of(role)) as administration:
        with pytest.raises(CredentialError):
            await administration.ensure_queue()


@pytest.mark.parametrize("role", ["ingestion", "worker"])
async def test_a_service_learns_the_depth_from_the_operator(backends: Backends, redis: Redis, role: str) -> None:
    keys = Keys(namespace="default", name="depths")
    async with (
        QueueAdministration(Queue(), backends.settings_of("operator")) as allowed,
        QueueAdministration(Queue(), backends.settings_of(role)) as refused,
    ):
        with pytest.raises(CredentialError):
            await SharedDepth(refused.depth, redis, keys=keys).read()
        depth = await SharedDepth(allowed.depth, redis, keys=keys).read_and_share()
        assert await SharedDepth(refused.depth, redis, keys=keys).read() == depth
