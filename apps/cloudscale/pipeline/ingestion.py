"""The ingestion side of the resource: replicas, rate limits, idempotency and shedding."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from cloudscale.pipeline.fields import RESOURCES_RULES, Cidr, Count, Model, ObjectName, PositiveDuration, Resources
from cloudscale.pipeline.rules import MIN_UP_TO_MAX, rules


class ReplicaRange(Model, frozen=True):
    """How few and how many replicas may run."""

    min: Annotated[int, Meta(description="Replicas that always run.", ge=1, le=1000)] = 2
    max: Annotated[int, Meta(description="Replicas at the most.", ge=1, le=1000)] = 10


LARGEST_BATCH_EVENTS = 1000
"""Events in one request; a burst below it would refuse some batches for ever."""


class ClientLimits(Model, frozen=True):
    """Token buckets of one client: so many requests and events at once, refilled at a steady rate."""

    burst: Annotated[Count, Meta(description="Requests that one client may send at once.")] = 100
    per_second: Annotated[
        float, Meta(description="Requests a second that one client may send for long.", gt=0, le=1_000_000)
    ] = 10.0
    events_burst: Annotated[
        int,
        Meta(description="Events that one client may send at once.", ge=LARGEST_BATCH_EVENTS, le=1_000_000_000),
    ] = 10_000
    events_per_second: Annotated[
        float, Meta(description="Events a second that one client may send for long.", gt=0, le=1_000_000_000)
    ] = 1000.0


class GlobalLimits(Model, frozen=True):
    """What all clients may send together: requests in a sliding window, and events by a token bucket."""

    limit: Annotated[Count, Meta(description="Requests in one window, over all clients and replicas.")] = 10_000
    window: Annotated[PositiveDuration, Meta(description="Length of the window.")] = "1s"
    events_burst: Annotated[
        int,
        Meta(description="Events that all may send at once.", ge=LARGEST_BATCH_EVENTS, le=1_000_000_000),
    ] = 100_000
    events_per_second: Annotated[
        float, Meta(description="Events a second that all may send for long.", gt=0, le=1_000_000_000)
    ] = 10_000.0


class KeyLimits(Model, frozen=True):
    """Token bucket of one API key, or of one token's owner."""

    burst: Annotated[Count, Meta(description="Requests that one key may send at once.")] = 200
    per_second: Annotated[
        float, Meta(description="Requests a second that one key may send for long.", gt=0, le=1_000_000)
    ] = 100.0


class TenantLimits(Model, frozen=True):
    """Token buckets of one tenant, over all of its keys. The directory may give a tenant others."""

    burst: Annotated[Count, Meta(description="Requests that one tenant may send at once.")] = 2000
    per_second: Annotated[
        float, Meta(description="Requests a second that one tenant may send for long.", gt=0, le=1_000_000)
    ] = 1000.0
    events_burst: Annotated[
        int,
        Meta(description="Events that one tenant may send at once.", ge=LARGEST_BATCH_EVENTS, le=1_000_000_000),
    ] = 100_000
    events_per_second: Annotated[
        float, Meta(description="Events a second that one tenant may send for long.", gt=0, le=1_000_000_000)
    ] = 10_000.0


class RateLimits(Model, frozen=True):
    """How many requests and events are let in. A batch is one request, and as many events as it has."""

    per_client: Annotated[
        ClientLimits,
        Meta(
            description="Limits of one client, token buckets. An IPv4 address is a client, and so is a /64 network of "
            "IPv6. A key that is marked as a server's does not count here.",
        ),
    ] = ClientLimits()
    per_key: Annotated[
        KeyLimits, Meta(description="Limits of one API key, or of the owner of tokens; where access is required.")
    ] = KeyLimits()
    per_tenant: Annotated[
        TenantLimits, Meta(description="Limits of one tenant, over all of its keys; where access is required.")
    ] = TenantLimits()
    global_: Annotated[GlobalLimits, Meta(description="Limits of all clients together.")] = msgspec.field(
        default=GlobalLimits(), name="global"
    )


class Idempotency(Model, frozen=True):
    """How a repeated event is recognised and answered."""

    time_to_live: Annotated[PositiveDuration, Meta(description="How long an event is known by its names.")] = "10m"
    on_duplicate: Annotated[
        Literal["Conflict", "Skip"], Meta(description="Answer to a copy: Conflict is 409, Skip is 200.")
    ] = "Conflict"


class Shedding(Model, frozen=True):
    """When requests are refused with 503 to keep the answers of the others fast."""

    in_flight: Annotated[Count, Meta(description="Requests in one replica that wait for the broker.")] = 2000
    queue_depth: Annotated[Count, Meta(description="Events in the queue.")] = 100_000


class Ingestion(Model, frozen=True):
    """The HTTP side: checks, limits, deduplicates and hands events to the queue."""

    replicas: Annotated[
        ReplicaRange,
        Meta(
            description="Replicas of the Deployment; the request rate decides between them.",
            extra_json_schema=rules(MIN_UP_TO_MAX),
        ),
    ] = ReplicaRange()
    requests_per_replica: Annotated[Count, Meta(description="Requests a second that one replica is sized for.")] = 2000
    rate_limits: Annotated[RateLimits, Meta(description="How many requests and events are let in.")] = RateLimits()
    idempotency: Annotated[Idempotency, Meta(description="How repeated events are recognised and answered.")] = (
        Idempotency()
    )
    shed_above: Annotated[Shedding, Meta(description="When new requests are refused with 503.")] = Shedding()
    tls_secret_name: Annotated[
        ObjectName | None,
        Meta(
            description="Secret of type kubernetes.io/tls whose certificate ingestion shows its clients, an Ingress or "
            "a Gateway among them; a renewed one is taken up without a restart. The Service then has port 443 in place "
            "of 80. Without it ingestion speaks HTTP, as it always does on one machine."
        ),
    ] = None
    trusted_proxies: Annotated[
        tuple[Cidr, ...],
        Meta(
            description="Networks of proxies whose forwardedHeader is believed, by ingestion and by the dashboard; the "
            "client is the rightmost address outside them.",
            max_length=64,
            extra_json_schema={"x-kubernetes-list-type": "set"},
        ),
    ] = ()
    forwarded_header: Annotated[
        Literal["X-Forwarded-For", "Forwarded"],
        Meta(
            description="The header in which trustedProxies write the client's address. The other one is not looked "
            "at, because a proxy passes it on as the client sent it."
        ),
    ] = "X-Forwarded-For"
    resources: Annotated[
        Resources, Meta(description="Compute resources of one replica.", extra_json_schema=RESOURCES_RULES)
    ] = Resources(requests={"cpu": "250m", "memory": "192Mi"}, limits={"cpu": "2", "memory": "512Mi"})
