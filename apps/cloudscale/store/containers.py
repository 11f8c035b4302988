"""The store's containers: names, partition keys, indexing and lifetime, created where they are absent."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import msgspec
from azure.cosmos import PartitionKey, ThroughputProperties
from azure.cosmos.exceptions import CosmosHttpResponseError

from cloudscale.store.errors import translated
from cloudscale.units import parse_duration

if TYPE_CHECKING:
    from collections.abc import Iterator

    from azure.cosmos.aio import CosmosClient, DatabaseProxy

    from cloudscale.pipeline import Store

FOREVER = -1
"""Cosmos DB's default time to live that keeps items but lets single ones have a ``ttl`` of their own."""


class ContainerNames(msgspec.Struct, frozen=True):
    """Names of the containers of one pipeline."""

    events: str
    profiles: str
    alerts: str
    leases: str
    followers: str
    outlets: str

    @classmethod
    def of(cls, spec: Store) -> ContainerNames:
        """The names that the resource's container name leads to."""
        name = spec.container
        return cls(
            events=name,
            profiles=f"{name}-profiles",
            alerts=f"{name}-alerts",
            leases=f"{name}-leases",
            followers=f"{name}-followers",
            outlets=f"{name}-outlets",
        )


def indexing_policy(*paths: str, composite: tuple[tuple[str, str], ...] = ()) -> dict[str, Any]:
    """Index ``paths`` only: each indexed path makes every write dearer, so what no query filters by is left out."""
    policy: dict[str, Any] = {
        "indexingMode": "consistent",
        "automatic": True,
        "includedPaths": [{"path": f"/{path}/?"} for path in paths],
        "excludedPaths": [{"path": "/*"}, {"path": '/"_etag"/?'}],
    }
    if composite:
        policy["compositeIndexes"] = [[{"path": f"/{path}", "order": order} for path, order in composite]]
    return policy


EVENTS_INDEX = indexing_policy(
    "eventType", "tenantId", "userId", "deviceId", "correlationId", "createdAt", "receivedAt"
)
PROFILES_INDEX = indexing_policy("tenantId", "userId", "score", "lastSeen")
ALERTS_INDEX = indexing_policy("kind", "tenantId", "userId", "createdAt")
OUTLETS_INDEX = indexing_policy("outlet", "parkedAt", "eventId", "isWanted")


async def ensure_containers(
    client: CosmosClient, spec: Store, *, followers: bool = False, outlets: bool = False
) -> None:
    """Create the database and the containers that are absent; what is there stays as it is.

    ``followers`` asks for the one that only followers need, ``outlets`` for that of outlets too. A credential without
    the right to create (workload identity with a data role) is enough when all are there.

    Raises:
        CredentialError: something is absent and the credential may not create it.
        BackendUnavailableError: the store cannot be reached.
    """
    names = ContainerNames.of(spec)
    seconds = int(parse_duration(spec.time_to_live).total_seconds()) or FOREVER
    throughput = ThroughputProperties(auto_scale_max_throughput=spec.throughput.autoscale_max)
    database = client.get_database_client(spec.database)
    if not await _exists(database):
        with translated(f"create database {spec.database}"), or_made_meanwhile():
            await client.create_database_if_not_exists(spec.database)
    definitions: dict[str, dict[str, Any]] = {
        names.events: {"path": "/partitionKey", "default_ttl": seconds, "indexing_policy": EVENTS_INDEX},
        names.profiles: {"path": "/partitionKey", "default_ttl": FOREVER, "indexing_policy": PROFILES_INDEX},
        names.alerts: {"path": "/partitionKey", "default_ttl": seconds, "indexing_policy": ALERTS_INDEX},
        names.leases: {"path": "/id", "default_ttl": FOREVER, "indexing_policy": indexing_policy()},
    }
    if followers:
        # Not otherwise: who made the containers by hand for an earlier version must not miss one after an upgrade.
        definitions[names.followers] = definitions[names.leases].copy()
    if outlets:
        definitions[names.outlets] = {"path": "/outlet", "default_ttl": FOREVER, "indexing_policy": OUTLETS_INDEX}
    for name, definition in definitions.items():
        container = database.get_container_client(name)
        if await _exists(container):
            continue
        with translated(f"create container {name}"), or_made_meanwhile():
            await database.create_container_if_not_exists(
                name,
                partition_key=PartitionKey(path=definition.pop("path")),
                offer_throughput=throughput,
                **definition,
            )


@contextmanager
def or_made_meanwhile() -> Iterator[None]:
    """Create a database or container, unless another process does so between the SDK's look and its attempt."""
    try:
        yield
    except CosmosHttpResponseError as error:
        if error.status_code != 409:
            raise


async def _exists(resource: DatabaseProxy | Any) -> bool:
    """Whether the database or container can be read."""
    with translated(f"read {resource.id}"):
        try:
            await resource.read()
        except CosmosHttpResponseError as error:
            if error.status_code == 404:
                return False
            raise
    return True
