"""A dashboard beside backends of its own, without an ingestion or a worker."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec
from tests.servers.cosmos import CosmosServer, cosmos_server
from tests.servers.redis import RedisServer, redis_server
from tests.servers.servicebus import ServiceBusServer, servicebus_server

from cloudscale.pipeline import EventPipeline, Queue, load_file
from cloudscale.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.servers.dashboard import DashboardServer


@dataclass(frozen=True)
class Backends:
    """A Redis, a store and a broker, and a pipeline on them."""

    redis: RedisServer
    store: CosmosServer
    broker: ServiceBusServer
    settings: Settings
    resource: EventPipeline


@dataclass(frozen=True)
class Place:
    """A dashboard and the backends behind it."""

    dashboard: DashboardServer
    backends: Backends


@contextlib.contextmanager
def backends(directory: Path) -> Iterator[Backends]:
    """Run the backends of a pipeline named ``shops`` for as long as the context lasts; they are empty."""
    file = directory / "pipeline.json"
    document = {"apiVersion": "cloudscale.io/v1alpha1", "kind": "EventPipeline", "metadata": {"name": "shops"}}
    file.write_bytes(msgspec.json.encode(document))
    with (
        redis_server(directory / "redis") as redis,
        cosmos_server(directory / "store") as store,
        servicebus_server(directory / "broker", queues=[Queue().name]) as broker,
    ):
        settings = Settings(
            pipeline_file=str(file),
            redis_url=redis.url,
            cosmos_connection_string=store.connection_string,
            servicebus_connection_string=broker.connection_string,
            servicebus_management_url=broker.management_url,
            certificate_authority_file=str(broker.certificate_authority),
        )
        yield Backends(redis, store, broker, settings, load_file(settings.pipeline_file))
