"""The processing side of the resource: how workers scale, yield, retry, check, score and act."""

from __future__ import annotations

import itertools
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from cloudscale.pipeline.fields import (
    RESOURCES_RULES,
    BoundedDuration,
    Cidr,
    Count,
    Duration,
    Model,
    PositiveDuration,
    Resources,
)
from cloudscale.pipeline.rules import MIN_UP_TO_MAX, Rule, at_least, rules

MAX_STEPS = 16

AT_LEAST_A_SECOND = at_least("1s")


class WorkerReplicas(Model, frozen=True):
    """How the number of workers follows the queue."""

    min: Annotated[int, Meta(description="Replicas that always run; 0 scales to zero.", ge=0, le=1000)] = 1
    max: Annotated[int, Meta(description="Replicas at the most.", ge=1, le=1000)] = 20
    messages_per_replica: Annotated[
        Count,
        Meta(
            description="Queued messages that justify one replica. KEDA asks Service Bus, which counts messages, each "
            "of up to queue.eventsPerMessage events; every other depth in this resource is in events.",
        ),
    ] = 50
    polling_interval: Annotated[
        BoundedDuration,
        Meta(
            description="How often KEDA reads the queue, 1s at the least.",
            extra_json_schema=rules(AT_LEAST_A_SECOND),
        ),
    ] = "5s"
    cooldown: Annotated[
        Duration, Meta(description="How long the queue stays empty before the last worker is stopped.")
    ] = "60s"
    fallback: Annotated[
        int, Meta(description="Replicas while KEDA cannot read the queue, up to max.", ge=1, le=1000)
    ] = 2


class ConcurrencyStep(Model, frozen=True):
    """From this depth on, a worker has so many calls to the store in flight."""

    depth: Annotated[int, Meta(description="Events in the queue.", ge=0, le=1_000_000_000)]
    limit: Annotated[
        int,
        Meta(
            description="Calls to the store that one worker has in flight, each of up to 100 events gathered over "
            "many messages.",
            ge=1,
            le=10_000,
        ),
    ]


def _depths_rise(steps: list[dict[str, int]]) -> bool:
    return all(lower["depth"] < upper["depth"] for lower, upper in itertools.pairwise(steps))


def _restores_below_second_step(concurrency: dict[str, Any]) -> bool:
    steps = concurrency["steps"]
    return len(steps) < 2 or bool(concurrency["restoreBelow"] <= steps[1]["depth"])


STARTS_AT_ZERO = Rule(
    "self[0].depth == 0", "the first step must be at depth 0", lambda self: bool(self[0]["depth"] == 0)
)
# CEL cannot count, so the possible positions are written out; a list has MAX_STEPS items at the most.
DEPTHS_RISE = Rule(
    f"{list(range(1, MAX_STEPS))}.all(i, i >= size(self) || self[i - 1].depth < self[i].depth)",
    "depths must rise from step to step",
    _depths_rise,
)
RESTORES_IN_TIME = Rule(
    "size(self.steps) < 2 || self.restoreBelow <= self.steps[1].depth",
    "restoreBelow must not exceed the depth of the second step",
    _restores_below_second_step,
    field="restoreBelow",
)


class Concurrency(Model, frozen=True):
    """Backpressure: the deeper the queue, the less a worker asks of the store."""

    steps: Annotated[
        tuple[ConcurrencyStep, ...],
        Meta(
            description="Depths and their limits, the first at depth 0, depths rising.",
            min_length=1,
            max_length=MAX_STEPS,
            extra_json_schema={"x-kubernetes-list-type": "atomic"} | rules(STARTS_AT_ZERO, DEPTHS_RISE),
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
    interval: Annotated[
        BoundedDuration,
        Meta(
            description="How often the depth is read, 1s at the least.",
            extra_json_schema=rules(AT_LEAST_A_SECOND),
        ),
    ] = "30s"


class Retries(Model, frozen=True):
    """How a failed write is tried again. A store that is away or busy is waited for, whatever this says."""

    attempts: Annotated[int, Meta(description="Retries after the first try.", ge=0, le=20)] = 3
    initial_delay: Annotated[Duration, Meta(description="Wait before the first retry.")] = "500ms"
    factor: Annotated[float, Meta(description="Growth of the wait from retry to retry.", ge=1, le=10)] = 2.0


class CircuitBreaker(Model, frozen=True):
    """When calls to a failing backend are paused."""

    failure_ratio: Annotated[float, Meta(description="Share of failed calls that opens it.", gt=0, le=1)] = 0.5
    window: Annotated[PositiveDuration, Meta(description="Calls of this long ago still count.")] = "30s"
    minimum_calls: Annotated[int, Meta(description="Calls before the share is looked at.", ge=1, le=100_000)] = 10
    open_for: Annotated[PositiveDuration, Meta(description="Pause before a call is tried again.")] = "30s"


class Velocity(Model, frozen=True):
    """More requests than this from one client address in a window are suspicious; a batch is one request."""

    limit: Annotated[Count, Meta(description="Requests in one window that are not suspicious yet.")] = 10
    window: Annotated[
        PositiveDuration,
        Meta(
            description="Length of the window. Requests are counted when they are received; events that happened more "
            "than a window before, as in a replay, when they happened."
        ),
    ] = "60s"
    trusted_networks: Annotated[
        tuple[Cidr, ...],
        Meta(
            description="Networks of servers that send for many users; their requests are not counted.",
            max_length=64,
            extra_json_schema={"x-kubernetes-list-type": "set"},
        ),
    ] = ()


class UserVelocity(Model, frozen=True):
    """More requests than this with events of one user in a window are suspicious; a batch is one request."""

    limit: Annotated[Count, Meta(description="Requests in one window that are not suspicious yet.")] = 60
    window: Annotated[PositiveDuration, Meta(description="Length of the window.")] = "60s"


class UnusualAmount(Model, frozen=True):
    """A purchase far above what its user has paid before is suspicious."""

    factor: Annotated[
        float, Meta(description="How many times the median of the user's purchases is suspicious.", gt=1, le=1_000_000)
    ] = 10.0
    after_purchases: Annotated[
        int, Meta(description="Purchases of a user, in one currency, before the first is checked.", ge=1, le=20)
    ] = 5


class SharedValue(Model, frozen=True):
    """One value of a property, such as a card's fingerprint, in events of many users is suspicious."""

    property: Annotated[
        str,
        Meta(
            description="Name of the property, in `properties` or beside it; its values are strings or integers.",
            min_length=1,
            max_length=128,
        ),
    ]
    users: Annotated[int, Meta(description="Users with the same value that are not suspicious yet.", ge=1, le=1000)] = 3
    window: Annotated[PositiveDuration, Meta(description="How long a user is remembered for a value.")] = "24h"


class ImpossibleTravel(Model, frozen=True):
    """A user at two places that are too far apart for the time between is suspicious."""

    property: Annotated[
        str,
        Meta(
            description="Name of the property, in `properties` or beside it, with an object of `latitude` and "
            "`longitude` in degrees.",
            min_length=1,
            max_length=128,
        ),
    ] = "location"
    kilometers_per_hour: Annotated[
        float, Meta(description="The speed above which a journey is impossible.", gt=0, le=1_000_000)
    ] = 1000.0


class Fraud(Model, frozen=True):
    """Rules that flag events; a flagged event is stored and raises a security alert."""

    velocity: Annotated[Velocity, Meta(description="Too many requests from one client address.")] = Velocity()
    user_velocity: Annotated[
        UserVelocity | None, Meta(description="Too many requests for one user; off unless it is given.")
    ] = None
    unusual_amount: Annotated[
        UnusualAmount | None, Meta(description="Purchases far above the user's own; off unless it is given.")
    ] = None
    shared_value: Annotated[
        SharedValue | None, Meta(description="One value with many users; off unless it is given.")
    ] = None
    impossible_travel: Annotated[
        ImpossibleTravel | None, Meta(description="A user who is in two places; off unless it is given.")
    ] = None


class CartAbandonment(Model, frozen=True):
    """Raise an alert when a cart is filled and no purchase follows."""

    after: Annotated[PositiveDuration, Meta(description="How long after `add_to_cart` the cart is looked at.")] = "30m"


class Actions(Model, frozen=True):
    """What is done some time after an event."""

    cart_abandonment: Annotated[CartAbandonment, Meta(description="Look after filled carts.")] = CartAbandonment()


class Processing(Model, frozen=True):
    """The workers: fraud check, score, write, act."""

    replicas: Annotated[
        WorkerReplicas,
        Meta(
            description="How the number of workers follows the queue.",
            extra_json_schema=rules(MIN_UP_TO_MAX),
        ),
    ] = WorkerReplicas()
    prefetch: Annotated[int, Meta(description="Messages fetched ahead by one worker.", ge=0, le=2000)] = 100
    concurrency: Annotated[
        Concurrency,
        Meta(
            description="Queue depth decides how many calls to the store a worker has in flight.",
            extra_json_schema=rules(RESTORES_IN_TIME),
        ),
    ] = Concurrency()
    retries: Annotated[
        Retries,
        Meta(description="Retries of failed writes; a store that is away costs no event."),
    ] = Retries()
    circuit_breaker: Annotated[CircuitBreaker, Meta(description="When calls to a failing backend are paused.")] = (
        CircuitBreaker()
    )
    fraud: Annotated[Fraud, Meta(description="Rules that flag events.")] = Fraud()
    scoring: Annotated[
        dict[str, Annotated[int, Meta(ge=-1_000_000, le=1_000_000)]],
        Meta(
            description="Points that an event of each type adds to its user's engagement score; types left out add "
            "nothing.",
            max_length=128,
        ),
    ] = msgspec.field(default_factory=lambda: {"page_view": 1, "user_action": 10, "purchase": 50})
    actions: Annotated[Actions, Meta(description="What is done some time after an event.")] = Actions()
    resources: Annotated[
        Resources, Meta(description="Compute resources of one worker.", extra_json_schema=RESOURCES_RULES)
    ] = Resources(requests={"cpu": "250m", "memory": "192Mi"}, limits={"cpu": "2", "memory": "512Mi"})
