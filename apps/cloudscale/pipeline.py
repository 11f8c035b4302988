"""The EventPipeline resource as typed models: the one source of its schema, of its defaults and of its validation.

The operator, the apps and the local runtime all read a resource through :func:`load`; ``cloudscale.crd`` turns the same
models into the CustomResourceDefinition. A description here is what ``kubectl explain`` prints, and a
``x-kubernetes-validations`` rule here is what the API server enforces at admission; :func:`load` enforces the same
rules in Python where there is no API server.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from cloudscale.units import DURATION_PATTERN, QUANTITY_PATTERN

GROUP = "cloudscale.io"
VERSION = "v1alpha1"
KIND = "EventPipeline"
PLURAL = "eventpipelines"
SHORT_NAME = "evp"

Duration = Annotated[str, Meta(pattern=DURATION_PATTERN, max_length=32)]
Quantity = Annotated[str, Meta(pattern=QUANTITY_PATTERN, max_length=32)]
ObjectName = Annotated[str, Meta(pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$", min_length=1, max_length=253)]
Cidr = Annotated[str, Meta(pattern=r"^[0-9a-fA-F:.]+/[0-9]{1,3}$", max_length=49)]
Count = Annotated[int, Meta(ge=1, le=1_000_000_000)]


def rules(*pairs: tuple[str, str]) -> dict[str, object]:
    """CEL rules for the API server, each an expression and the message shown when it is false."""
    return {"x-kubernetes-validations": [{"rule": rule, "message": message} for rule, message in pairs]}


class Model(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True, kw_only=True):
    """A part of the resource: immutable, camelCase on the wire, unknown fields refused."""


class SecretKey(Model, frozen=True):
    """Names one key of a Secret in the pipeline's namespace."""

    name: Annotated[ObjectName, Meta(description="Name of the Secret.")]
    key: Annotated[str, Meta(description="Key in the Secret's data.", min_length=1, max_length=253)]


class ReplicaRange(Model, frozen=True):
    """How few and how many replicas may run."""

    min: Annotated[int, Meta(description="Replicas that always run.", ge=1, le=1000)] = 2
    max: Annotated[int, Meta(description="Replicas at the most.", ge=1, le=1000)] = 10


class Resources(Model, frozen=True):
    """Compute resources of one pod: requests and limits by resource name."""

    requests: Annotated[dict[str, Quantity], Meta(description="What the scheduler reserves.")] = {}
    limits: Annotated[dict[str, Quantity], Meta(description="What the pod may not exceed.")] = {}


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
            "identity instead of a connection string."
        ),
    ] = None
    name: Annotated[
        str,
        Meta(
            description="Name of the queue. It is created if it is absent and the credential may. Immutable.",
            pattern=r"^[A-Za-z0-9]([A-Za-z0-9._/-]*[A-Za-z0-9])?$",
            min_length=1,
            max_length=260,
        ),
    ] = "events-ingestion"
    events_per_message: Annotated[
        int,
        Meta(description="Upper bound of events packed into one message; 1 turns packing off.", ge=1, le=1000),
    ] = 100
    max_size: Annotated[Quantity, Meta(description="Size of a queue that has to be created.")] = "5Gi"
    time_to_live: Annotated[Duration, Meta(description="How long a message may wait in a created queue.")] = "336h"
    lock_duration: Annotated[Duration, Meta(description="Peek-lock of a created queue, at most 5m.")] = "5m"
    max_delivery_count: Annotated[
        int, Meta(description="Deliveries before a created queue dead-letters a message.", ge=1, le=2000)
    ] = 10

    @property
    def connection(self) -> SecretKey | None:
        """The Secret to read the connection string from, or None when workload identity is used."""
        if self.connection_secret_ref is None and self.namespace is None:
            return SecretKey(name="cloudscale-servicebus", key="connectionString")
        return self.connection_secret_ref


class Throughput(Model, frozen=True):
    """Request units a second of the store's containers."""

    autoscale_max: Annotated[
        int,
        Meta(description="Upper end of autoscale, in RU/s; a tenth of it is the lower end.", ge=1000, le=1_000_000),
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
            "instead of a connection string."
        ),
    ] = None
    database: Annotated[
        str,
        Meta(description="Name of the database. Immutable.", pattern=r"^[^/\\#?\s]+$", min_length=1, max_length=255),
    ] = "EventsDb"
    container: Annotated[
        str,
        Meta(
            description="Name of the events' container; profiles, alerts and leases are kept in `{container}-profiles`, "
            "`{container}-alerts` and `{container}-leases`. Immutable.",
            pattern=r"^[^/\\#?\s]+$",
            min_length=1,
            max_length=200,
        ),
    ] = "Events"
    partition_buckets: Annotated[
        int,
        Meta(
            description="More than 1 spreads each tenant's month over so many logical partitions, so that one hot "
            "tenant outgrows a single one. Immutable.",
            ge=1,
            le=1000,
        ),
    ] = 1
    time_to_live: Annotated[Duration, Meta(description="How long events are kept; `0s` keeps them forever.")] = "720h"
    throughput: Annotated[Throughput, Meta(description="Provisioned throughput of created containers.")] = Throughput()

    @property
    def connection(self) -> SecretKey | None:
        """The Secret to read the connection string from, or None when workload identity is used."""
        if self.connection_secret_ref is None and self.endpoint is None:
            return SecretKey(name="cloudscale-cosmos", key="connectionString")
        return self.connection_secret_ref


class Cache(Model, frozen=True):
    """The Redis that keeps rate limits, idempotency records, velocity windows and live figures."""

    url_secret_ref: Annotated[SecretKey, Meta(description="Where the Redis URL (`redis://host:6379/0`) is.")] = (
        SecretKey(name="cloudscale-redis", key="url")
    )


class TokenBucket(Model, frozen=True):
    """A token bucket: so many requests at once, refilled at a steady rate."""

    burst: Annotated[Count, Meta(description="Requests that one client may send at once.")] = 100
    per_second: Annotated[
        float, Meta(description="Requests a second that one client may send for long.", gt=0, le=1_000_000)
    ] = 10.0


class SlidingWindow(Model, frozen=True):
    """A sliding window: so many requests in any window of the given length."""

    limit: Annotated[Count, Meta(description="Requests in one window, over all clients and replicas.")] = 10_000
    window: Annotated[Duration, Meta(description="Length of the window.")] = "60s"


class RateLimits(Model, frozen=True):
    """How many requests are let in. A batch is one request."""

    per_client: Annotated[TokenBucket, Meta(description="Limit of one client address.")] = TokenBucket()
    global_: Annotated[SlidingWindow, Meta(description="Limit of all clients together.")] = msgspec.field(
        default=SlidingWindow(), name="global"
    )


class Idempotency(Model, frozen=True):
    """How a repeated event is recognised and answered."""

    time_to_live: Annotated[Duration, Meta(description="How long a key is remembered.")] = "10m"
    on_duplicate: Annotated[
        Literal["Conflict", "Skip"], Meta(description="Answer to a copy: Conflict is 409, Skip is 200.")
    ] = "Conflict"


class Shedding(Model, frozen=True):
    """When requests are refused with 503 to keep the answers of the others fast."""

    in_flight: Annotated[Count, Meta(description="Requests in one replica that wait for the broker.")] = 2000
    queue_depth: Annotated[Count, Meta(description="Messages in the queue.")] = 100_000


class Ingestion(Model, frozen=True):
    """The HTTP side: checks, limits, deduplicates and hands events to the queue."""

    replicas: Annotated[
        ReplicaRange,
        Meta(
            description="Replicas of the Deployment; the request rate decides between them.",
            extra_json_schema=rules(("self.min <= self.max", "min must not exceed max")),
        ),
    ] = ReplicaRange()
    requests_per_replica: Annotated[Count, Meta(description="Requests a second that one replica is sized for.")] = 2000
    rate_limits: Annotated[RateLimits, Meta(description="How many requests are let in.")] = RateLimits()
    idempotency: Annotated[Idempotency, Meta(description="How repeated events are answered.")] = Idempotency()
    shed_above: Annotated[Shedding, Meta(description="When new requests are refused with 503.")] = Shedding()
    trusted_proxies: Annotated[
        tuple[Cidr, ...],
        Meta(
            description="Networks of proxies whose X-Forwarded-For is believed; the client is the rightmost address "
            "outside them.",
            max_length=64,
        ),
    ] = ()
    resources: Annotated[Resources, Meta(description="Compute resources of one replica.")] = Resources(
        requests={"cpu": "250m", "memory": "192Mi"}, limits={"memory": "512Mi"}
    )


class WorkerReplicas(Model, frozen=True):
    """How the number of workers follows the queue."""

    min: Annotated[int, Meta(description="Replicas that always run; 0 scales to zero.", ge=0, le=1000)] = 1
    max: Annotated[int, Meta(description="Replicas at the most.", ge=1, le=1000)] = 20
    messages_per_replica: Annotated[Count, Meta(description="Queued messages that justify one replica.")] = 50
    polling_interval: Annotated[Duration, Meta(description="How often KEDA reads the queue.")] = "5s"
    cooldown: Annotated[Duration, Meta(description="How long the queue stays empty before scaling to zero.")] = "60s"
    fallback: Annotated[int, Meta(description="Replicas while the queue cannot be read by KEDA.", ge=1, le=1000)] = 2


class ConcurrencyStep(Model, frozen=True):
    """From this depth on, a worker handles so many messages at once."""

    depth: Annotated[int, Meta(description="Messages in the queue.", ge=0, le=1_000_000_000)]
    limit: Annotated[int, Meta(description="Messages that one worker handles at once.", ge=1, le=10_000)]


class Concurrency(Model, frozen=True):
    """Backpressure: the deeper the queue, the less a worker asks of the store."""

    steps: Annotated[
        tuple[ConcurrencyStep, ...],
        Meta(
            description="Depths and their limits, the first at depth 0, depths rising.",
            min_length=1,
            max_length=16,
            extra_json_schema=rules(
                ("self[0].depth == 0", "the first step must be at depth 0"),
                (
                    "self.all(a, self.exists_one(b, b.depth == a.depth)) && self.map(s, s.depth).isSorted()",
                    "depths must rise from step to step",
                ),
            ),
        ),
    ] = (
        ConcurrencyStep(depth=0, limit=32),
        ConcurrencyStep(depth=5000, limit=16),
        ConcurrencyStep(depth=10_000, limit=4),
    )
    restore_below: Annotated[
        int,
        Meta(
            description="Below this depth the first step holds again; from here to the second step the last limit "
            "holds.",
            ge=0,
            le=1_000_000_000,
        ),
    ] = 1000
    interval: Annotated[Duration, Meta(description="How often the depth is read, 1s at the least.")] = "30s"


class Retries(Model, frozen=True):
    """How often a failed write is tried again before its events are dead-lettered."""

    attempts: Annotated[int, Meta(description="Retries after the first try.", ge=0, le=20)] = 3
    initial_delay: Annotated[Duration, Meta(description="Wait before the first retry.")] = "500ms"
    factor: Annotated[float, Meta(description="Growth of the wait from retry to retry.", ge=1, le=10)] = 2.0


class CircuitBreaker(Model, frozen=True):
    """When calls to a failing backend are paused."""

    failure_ratio: Annotated[float, Meta(description="Share of failed calls that opens it.", gt=0, le=1)] = 0.5
    window: Annotated[Duration, Meta(description="Calls of this long ago still count.")] = "30s"
    minimum_calls: Annotated[int, Meta(description="Calls before the share is looked at.", ge=1, le=100_000)] = 10
    open_for: Annotated[Duration, Meta(description="Pause before a call is tried again.")] = "30s"


class Velocity(Model, frozen=True):
    """More events than this from one client address in a window are suspicious."""

    limit: Annotated[Count, Meta(description="Events in one window that are not suspicious yet.")] = 10
    window: Annotated[Duration, Meta(description="Length of the window.")] = "60s"


class Fraud(Model, frozen=True):
    """Rules that flag events; a flagged event is stored and raises a security alert."""

    velocity: Annotated[Velocity, Meta(description="Too many events from one client address.")] = Velocity()


class CartAbandonment(Model, frozen=True):
    """Raise an alert when a cart is filled and no purchase follows."""

    after: Annotated[Duration, Meta(description="How long after `add_to_cart` the cart is looked at.")] = "30m"


class Actions(Model, frozen=True):
    """What is done some time after an event."""

    cart_abandonment: Annotated[CartAbandonment, Meta(description="Look after filled carts.")] = CartAbandonment()


class Processing(Model, frozen=True):
    """The workers: fraud check, score, write, act."""

    replicas: Annotated[
        WorkerReplicas,
        Meta(
            description="How the number of workers follows the queue.",
            extra_json_schema=rules(("self.min <= self.max", "min must not exceed max")),
        ),
    ] = WorkerReplicas()
    prefetch: Annotated[int, Meta(description="Messages fetched ahead by one worker.", ge=0, le=2000)] = 100
    concurrency: Annotated[
        Concurrency,
        Meta(
            description="Queue depth decides how many messages a worker handles at once.",
            extra_json_schema=rules(
                (
                    "size(self.steps) < 2 || self.restoreBelow <= self.steps[1].depth",
                    "restoreBelow must not exceed the depth of the second step",
                ),
                ("duration(self.interval) >= duration('1s')", "interval must be 1s at the least"),
            ),
        ),
    ] = Concurrency()
    retries: Annotated[Retries, Meta(description="Retries of failed writes.")] = Retries()
    circuit_breaker: Annotated[CircuitBreaker, Meta(description="Pause calls to a failing backend.")] = CircuitBreaker()
    fraud: Annotated[Fraud, Meta(description="Rules that flag events.")] = Fraud()
    scoring: Annotated[
        dict[str, Annotated[int, Meta(ge=-1_000_000, le=1_000_000)]],
        Meta(description="Points that an event of each type adds to its user's score; types left out add nothing."),
    ] = msgspec.field(default_factory=lambda: {"page_view": 1, "user_action": 10, "purchase": 50})
    actions: Annotated[Actions, Meta(description="What is done some time after an event.")] = Actions()
    resources: Annotated[Resources, Meta(description="Compute resources of one worker.")] = Resources(
        requests={"cpu": "250m", "memory": "192Mi"}, limits={"memory": "512Mi"}
    )


class EventType(Model, frozen=True):
    """A type of event that the pipeline takes besides the built-in ones."""

    name: Annotated[
        str, Meta(description="Value of `eventType`.", pattern=r"^[a-z][a-z0-9_]*$", min_length=1, max_length=64)
    ]
    schema: Annotated[
        dict[str, Any],
        Meta(
            description="JSON Schema (draft 2020-12) of the event's own fields.",
            extra_json_schema={"x-kubernetes-preserve-unknown-fields": True},
        ),
    ] = msgspec.field(default_factory=lambda: {"type": "object"})


class Dashboard(Model, frozen=True):
    """The web page that shows the pipeline at work."""

    enabled: Annotated[bool, Meta(description="Whether the dashboard runs.")] = True
    token_secret_ref: Annotated[
        SecretKey | None,
        Meta(description="Where the access tokens are; without it reading is open and acting is refused."),
    ] = None
    resources: Annotated[Resources, Meta(description="Compute resources of the dashboard.")] = Resources(
        requests={"cpu": "50m", "memory": "128Mi"}, limits={"memory": "512Mi"}
    )


class Ingress(Model, frozen=True):
    """An Ingress in front of ingestion."""

    host: Annotated[str, Meta(description="Host name of the rule.", min_length=1, max_length=253)]
    class_name: Annotated[str | None, Meta(description="IngressClass; left out for the cluster's default.")] = None
    tls_secret_name: Annotated[ObjectName | None, Meta(description="Secret with the certificate; none for HTTP.")] = (
        None
    )


class Gateway(Model, frozen=True):
    """A Gateway API HTTPRoute in front of ingestion."""

    name: Annotated[ObjectName, Meta(description="Gateway that the route attaches to.")]
    namespace: Annotated[ObjectName | None, Meta(description="Namespace of the Gateway.")] = None
    hostnames: Annotated[tuple[str, ...], Meta(description="Host names of the route.", max_length=16)] = ()


class Expose(Model, frozen=True):
    """How ingestion is reached from outside of the cluster; a Service inside is always there."""

    ingress: Annotated[Ingress | None, Meta(description="Make an Ingress.")] = None
    gateway: Annotated[Gateway | None, Meta(description="Make a Gateway API HTTPRoute.")] = None


class Tracing(Model, frozen=True):
    """OpenTelemetry traces from the request to the store."""

    endpoint: Annotated[
        Annotated[str, Meta(pattern=r"^https?://\S+$")] | None,
        Meta(description="OTLP over HTTP endpoint; none turns tracing off."),
    ] = None
    sample_ratio: Annotated[float, Meta(description="Share of events that are traced.", ge=0, le=1)] = 0.01


class Telemetry(Model, frozen=True):
    """Metrics, traces and logs."""

    log_level: Annotated[Literal["debug", "info", "warning", "error"], Meta(description="Least level logged.")] = "info"
    tracing: Annotated[Tracing, Meta(description="OpenTelemetry traces.")] = Tracing()
    service_monitor: Annotated[
        bool, Meta(description="Make a ServiceMonitor and a PrometheusRule where those kinds exist.")
    ] = True


class Placement(Model, frozen=True):
    """Where the pipeline's pods may run."""

    node_selector: Annotated[dict[str, str], Meta(description="Labels that a node must have.")] = {}
    affinity: Annotated[
        dict[str, Any],
        Meta(
            description="Affinity of every pod, as in a pod's specification.",
            extra_json_schema={"x-kubernetes-preserve-unknown-fields": True},
        ),
    ] = {}
    tolerations: Annotated[
        tuple[Annotated[dict[str, Any], Meta(extra_json_schema={"x-kubernetes-preserve-unknown-fields": True})], ...],
        Meta(description="Tolerations of every pod, as in a pod's specification.", max_length=64),
    ] = ()
    spread: Annotated[bool, Meta(description="Spread the replicas over zones and nodes.")] = True
    pin_to: Annotated[
        Annotated[str, Meta(pattern=r"^[A-Za-z0-9]([-A-Za-z0-9_./]*[A-Za-z0-9])?(=[-A-Za-z0-9_.]*)?$", max_length=317)]
        | None,
        Meta(
            description="A node label (`key` or `key=value`): every pod runs on nodes that have it, and spreading is off."
        ),
    ] = None


class PipelineSpec(Model, frozen=True):
    """What the pipeline should be."""

    paused: Annotated[bool, Meta(description="Stop workers; ingestion goes on and the queue keeps the events.")] = False
    queue: Annotated[
        Queue,
        Meta(
            description="The Service Bus queue.",
            extra_json_schema=rules(
                (
                    "!(has(self.connectionSecretRef) && has(self.namespace))",
                    "connectionSecretRef and namespace exclude each other",
                ),
                ("self.name == oldSelf.name", "name is immutable"),
                ("duration(self.lockDuration) <= duration('5m')", "lockDuration must not exceed 5m"),
            ),
        ),
    ] = Queue()
    store: Annotated[
        Store,
        Meta(
            description="The Cosmos DB database.",
            extra_json_schema=rules(
                (
                    "!(has(self.connectionSecretRef) && has(self.endpoint))",
                    "connectionSecretRef and endpoint exclude each other",
                ),
                ("self.database == oldSelf.database", "database is immutable"),
                ("self.container == oldSelf.container", "container is immutable"),
                ("self.partitionBuckets == oldSelf.partitionBuckets", "partitionBuckets is immutable"),
            ),
        ),
    ] = Store()
    cache: Annotated[Cache, Meta(description="The Redis.")] = Cache()
    event_types: Annotated[
        tuple[EventType, ...],
        Meta(description="Types of event besides the built-in ones.", max_length=100),
    ] = ()
    ingestion: Annotated[Ingestion, Meta(description="The HTTP side.")] = Ingestion()
    processing: Annotated[Processing, Meta(description="The workers.")] = Processing()
    dashboard: Annotated[Dashboard, Meta(description="The dashboard.")] = Dashboard()
    expose: Annotated[Expose, Meta(description="Reach ingestion from outside of the cluster.")] = Expose()
    telemetry: Annotated[Telemetry, Meta(description="Metrics, traces and logs.")] = Telemetry()
    placement: Annotated[Placement, Meta(description="Where the pods may run.")] = Placement()
    deletion: Annotated[
        Literal["Drain", "Immediate"],
        Meta(description="Drain stops intake, empties the queue, then goes; Immediate goes at once."),
    ] = "Drain"
    drain_deadline: Annotated[Duration, Meta(description="How long a deletion waits for the queue to empty.")] = "10m"


class Metadata(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """The part of an object's metadata that CloudScale reads; everything else is the API server's."""

    name: Annotated[str, Meta(min_length=1, max_length=63, pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")]
    namespace: str = "default"
    uid: str = ""
    generation: int = 0
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}


class EventPipeline(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """An event pipeline: HTTP in, fraud-scored documents in Cosmos DB out."""

    api_version: Literal["cloudscale.io/v1alpha1"]
    kind: Literal["EventPipeline"]
    metadata: Metadata
    spec: PipelineSpec = msgspec.field(default_factory=PipelineSpec)
