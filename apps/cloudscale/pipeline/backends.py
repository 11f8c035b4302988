"""The three backends that a pipeline uses: Service Bus queue, Cosmos DB store and Redis cache."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from cloudscale.pipeline.fields import BoundedDuration, Duration, Model, PositiveDuration, Quantity, SecretKey
from cloudscale.pipeline.roles import QueueRoles, Role, StoreRoles
from cloudscale.pipeline.rules import IMMUTABLE, Rule, between, rules
from cloudscale.units import parse_quantity

LARGE_ENOUGH = Rule(
    "quantity(self).compareTo(quantity('1Gi')) >= 0",
    "must be at least 1Gi",
    lambda self: parse_quantity(self) >= parse_quantity("1Gi"),
)
LOCKABLE = between("5s", "5m")


class Queue(Model, frozen=True):
    """The Service Bus queue between ingestion and workers."""

    connection_secret_ref: Annotated[
        SecretKey | None,
        Meta(
            description="Where the Service Bus connection string is. Left out together with `namespace`, it is the key "
            "`connectionString` of the Secret `cloudscale-servicebus`."
        ),
    ] = None
    namespace: Annotated[
        Annotated[str, Meta(pattern=r"^[A-Za-z0-9]([-A-Za-z0-9.]*[A-Za-z0-9])?$", max_length=253)] | None,
        Meta(
            description="Fully qualified Service Bus namespace (`name.servicebus.windows.net`), reached with workload "
            "identity instead of a connection string. Its host must be one that the operator allows."
        ),
    ] = None
    role_secret_refs: Annotated[
        QueueRoles,
        Meta(
            description="Connection strings of single roles, each with a key that allows what the role does and no "
            "more. A role without one uses `connectionSecretRef` or the workload identity."
        ),
    ] = QueueRoles()
    name: Annotated[
        str,
        Meta(
            description="Name of the queue, which no other pipeline may use. It is created if it is absent and the "
            "credential may. Immutable.",
            pattern=r"^[A-Za-z0-9]([A-Za-z0-9._/-]*[A-Za-z0-9])?$",
            min_length=1,
            max_length=260,
            extra_json_schema=rules(IMMUTABLE),
        ),
    ] = "events-ingestion"
    events_per_message: Annotated[
        int,
        Meta(description="Upper bound of events packed into one message; 1 turns packing off.", ge=1, le=1000),
    ] = 100
    max_size: Annotated[
        Quantity,
        Meta(
            description="Size of a queue that has to be created, 1Gi at the least.",
            extra_json_schema=rules(LARGE_ENOUGH),
        ),
    ] = "5Gi"
    time_to_live: Annotated[PositiveDuration, Meta(description="How long a message may wait in a created queue.")] = (
        "336h"
    )
    lock_duration: Annotated[
        BoundedDuration,
        Meta(
            description="How long a received message of a created queue stays locked, between 5s and 5m.",
            extra_json_schema=rules(LOCKABLE),
        ),
    ] = "5m"
    max_delivery_count: Annotated[
        int, Meta(description="Deliveries before a created queue dead-letters a message.", ge=1, le=2000)
    ] = 10

    @property
    def connection(self) -> SecretKey | None:
        """The Secret to read the connection string from, or None when workload identity is used."""
        if self.connection_secret_ref is None and self.namespace is None:
            return SecretKey(name="cloudscale-servicebus", key="connectionString")
        return self.connection_secret_ref

    def connection_of(self, role: Role) -> SecretKey | None:
        """The Secret of one role, which may have one of its own; None for workload identity, and for the follower."""
        if role == "follower":
            return None
        own: SecretKey | None = getattr(self.role_secret_refs, role)
        return own or self.connection


class Throughput(Model, frozen=True):
    """Request units a second of the store's containers."""

    autoscale_max: Annotated[
        int,
        Meta(
            description="Upper end of autoscale, in RU/s and steps of 1,000; a tenth of it is the lower end.",
            ge=1000,
            le=1_000_000,
            multiple_of=1000,
        ),
    ] = 4000


class Store(Model, frozen=True):
    """The Cosmos DB database that keeps events, profiles and alerts."""

    connection_secret_ref: Annotated[
        SecretKey | None,
        Meta(
            description="Where the Cosmos DB connection string is. Left out together with `endpoint`, it is the key "
            "`connectionString` of the Secret `cloudscale-cosmos`."
        ),
    ] = None
    endpoint: Annotated[
        Annotated[str, Meta(pattern=r"^https?://[^\s/]+/?$", max_length=512)] | None,
        Meta(
            description="Account endpoint (`https://name.documents.azure.com:443/`), reached with workload identity "
            "instead of a connection string. Its host must be one that the operator allows."
        ),
    ] = None
    role_secret_refs: Annotated[
        StoreRoles,
        Meta(
            description="Connection strings of single roles, each with a key that allows what the role does and no "
            "more. A role without one uses `connectionSecretRef` or the workload identity."
        ),
    ] = StoreRoles()
    database: Annotated[
        str,
        Meta(
            description="Name of the database. Immutable.",
            pattern=r"^[^/\\#?\s]+$",
            min_length=1,
            max_length=255,
            extra_json_schema=rules(IMMUTABLE),
        ),
    ] = "EventsDb"
    container: Annotated[
        str,
        Meta(
            description="Name of the events' container; profiles, alerts and leases are kept in "
            "`{container}-profiles`, `{container}-alerts` and `{container}-leases`. Immutable.",
            pattern=r"^[^/\\#?\s]+$",
            min_length=1,
            max_length=200,
            extra_json_schema=rules(IMMUTABLE),
        ),
    ] = "Events"
    partition_buckets: Annotated[
        int,
        Meta(
            description="More than 1 spreads each tenant's month over so many logical partitions, so that one hot "
            "tenant outgrows a single one. Immutable.",
            ge=1,
            le=1000,
            extra_json_schema=rules(IMMUTABLE),
        ),
    ] = 1
    time_to_live: Annotated[Duration, Meta(description="How long events are kept; `0s` keeps them forever.")] = "720h"
    throughput: Annotated[Throughput, Meta(description="Provisioned throughput of created containers.")] = Throughput()
    write_protocol: Annotated[
        Literal["Rest", "Sdk"],
        Meta(
            description="How workers write events: `Rest` by one documented request of their own, and by the official "
            "client whatever that request does not bring about; `Sdk` always by the official client, which takes more "
            "processor time."
        ),
    ] = "Rest"

    @property
    def connection(self) -> SecretKey | None:
        """The Secret to read the connection string from, or None when workload identity is used."""
        if self.connection_secret_ref is None and self.endpoint is None:
            return SecretKey(name="cloudscale-cosmos", key="connectionString")
        return self.connection_secret_ref

    def connection_of(self, role: Role) -> SecretKey | None:
        """The Secret of one role, which may have one of its own; None for workload identity, and for the operator."""
        if role == "operator":
            return None
        own: SecretKey | None = getattr(self.role_secret_refs, role)
        return own or self.connection


class Cache(Model, frozen=True):
    """The Redis that keeps rate limits, idempotency records, velocity windows and live figures."""

    url_secret_ref: Annotated[SecretKey, Meta(description="Where the Redis URL (`redis://host:6379/0`) is.")] = (
        SecretKey(name="cloudscale-redis", key="url")
    )
