"""What the status says, from what was observed: a pure function.

``Ready`` means that events are taken, kept and processed as the current specification says: the backends answer and
both roles are available and rolled out. Scaling that does not work makes a pipeline slow, not unready, and a missing
way in from outside leaves the one inside: ``ScalingActive`` and ``Exposed`` tell of these.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from cloudscale.pipeline.backpressure import concurrency_limit
from cloudscale_operator.availability import (
    availability,
    is_rolled_out,
    rollout_problem,
    workers_availability,
)
from cloudscale_operator.children import ChildKey
from cloudscale_operator.conditions import Condition, dated, timestamp
from cloudscale_operator.kinds import DEPLOYMENT, HTTP_ROUTE, INGRESS, SCALED_OBJECT, Kind, Manifest
from cloudscale_operator.manifests.services import WebPort
from cloudscale_operator.names import DASHBOARD, INGESTION, WORKER, object_name, selector_labels

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cloudscale.pipeline import EventPipeline
    from cloudscale_operator.applying import Refusal
    from cloudscale_operator.depth import Reading
    from cloudscale_operator.pods import Problem

READING_SHOWN_EVERY = timedelta(seconds=30)
"""A reading that changed nothing renews its time in the status no more often than this."""

Status = dict[str, Any]


@dataclass(frozen=True)
class Observation:
    """What a reconcile has found."""

    pipeline: EventPipeline
    live: Mapping[ChildKey, Manifest]
    available: frozenset[Kind]
    """Optional kinds that the cluster has."""
    reading: Reading | None
    missing: tuple[str, ...] = ()
    """Secrets that are not there."""
    refusals: tuple[Refusal, ...] = ()
    """Objects that are not as they should be."""
    unserved_since: datetime | None = None
    """Since when a pipeline without workers has needed one and had none."""
    problems: Mapping[str, Problem] = field(default_factory=dict)
    """What keeps pods from running, by role."""
    applied: Mapping[ChildKey, int] = field(default_factory=dict)
    """The generation of each object in which the operator has changed it last."""
    draining: Condition | None = None
    """Why Ready is false during a deletion."""


def build_status(observation: Observation, previous: Status, *, now: datetime) -> Status:
    """The whole status; ``previous`` gives the times of transitions and what cannot be read at the moment."""
    pipeline, live = observation.pipeline, observation.live
    name = pipeline.metadata.name
    deployments = {
        role: live.get(ChildKey(DEPLOYMENT.kind, object_name(name, role))) for role in (INGESTION, WORKER, DASHBOARD)
    }
    backends = _backends(observation)
    ingestion = availability("IngestionAvailable", deployments[INGESTION], observation.problems.get(INGESTION))
    workers = workers_availability(
        pipeline,
        deployments[WORKER],
        observation.problems.get(WORKER),
        reading=observation.reading,
        unserved_since=observation.unserved_since,
        now=now,
    )
    ready = observation.draining or _ready(observation, [backends, ingestion, workers], deployments)
    conditions = [ready, backends, ingestion, workers, _scaling(observation), _paused(pipeline), *_exposed(observation)]
    generation = pipeline.metadata.generation
    return {
        "phase": _phase(observation, ready, previous, stalled=any(map(rollout_problem, deployments.values()))),
        "observedGeneration": generation,
        "conditions": dated(conditions, previous.get("conditions", ()), generation=generation, now=now),
        **_depth(observation, previous),
        "replicas": {
            "ingestion": _ready_replicas(deployments[INGESTION]),
            "workers": _ready_replicas(deployments[WORKER]),
            "dashboard": _ready_replicas(deployments[DASHBOARD]),
        },
        "selector": ",".join(f"{label}={value}" for label, value in selector_labels(name, WORKER).items()),
        "endpoint": endpoint(pipeline, observation.available),
    }


def failed_status(previous: Status, *, generation: int, reason: str, message: str, now: datetime) -> Status:
    """The status of a pipeline that cannot be reconciled until its specification changes."""
    ready = Condition("Ready", "False", reason, message)
    others = [condition for condition in previous.get("conditions", ()) if condition["type"] != ready.type]
    conditions = dated([ready], previous.get("conditions", ()), generation=generation, now=now)
    return {**previous, "phase": "Failed", "observedGeneration": generation, "conditions": conditions + others}


def endpoint(pipeline: EventPipeline, available: frozenset[Kind]) -> str:
    """Where clients reach ingestion: from outside if it is exposed, else inside of the cluster."""
    expose = pipeline.spec.expose
    if expose.ingress:
        return f"{'https' if expose.ingress.tls_secret_name else 'http'}://{expose.ingress.host}"
    if expose.gateway and expose.gateway.hostnames and HTTP_ROUTE in available:
        return f"https://{expose.gateway.hostnames[0]}"
    scheme = WebPort.of(pipeline.spec.ingestion.tls_secret_name).name
    return f"{scheme}://{object_name(pipeline.metadata.name, INGESTION)}.{pipeline.metadata.namespace}.svc"


def _backends(observation: Observation) -> Condition:
    reading = observation.reading
    if observation.missing:
        return Condition("BackendsReachable", "False", "SecretMissing", "; ".join(observation.missing))
    if reading is None:
        return Condition(
            "BackendsReachable",
            "Unknown",
            "NotReadYet",
            "the depth of the queue has not been read yet: the next reading settles this",
        )
    if reading.backlog is None:
        return Condition("BackendsReachable", "False", "BrokerUnreachable", reading.error)
    return Condition("BackendsReachable", "True", "DepthRead", "the broker answers and all Secrets exist")


def _ready(observation: Observation, parts: list[Condition], deployments: Mapping[str, Manifest | None]) -> Condition:
    if observation.refusals:
        reason, messages = observation.refusals[0].reason, [refusal.message for refusal in observation.refusals]
        return Condition("Ready", "False", reason, "; ".join(messages))
    paused = observation.pipeline.spec.paused
    relevant = [part for part in parts if not (paused and part.type == "WorkersAvailable")]
    for part in relevant:
        if not part.holds:
            return Condition("Ready", "False", part.reason, f"{part.type}: {part.message}")
    moving = [role for role, deployment in deployments.items() if deployment and not _has_rolled_out(observation, role)]
    if moving:
        found = [(role, observation.problems[role]) for role in moving if role in observation.problems]
        messages = [f"{role}: {problem}" for role, problem in found]
        messages += [text for role in moving if (text := rollout_problem(deployments[role]))]
        if messages:
            cause = found[0][1].reason if found else "RolloutStalled"
            return Condition("Ready", "False", cause, "; ".join(messages))
        return Condition(
            "Ready", "False", "RollingOut", f"pods of the new specification are starting: {', '.join(moving)}"
        )
    text = (
        "events are accepted and stay in the queue while spec.paused is true"
        if paused
        else "events are accepted and processed"
    )
    return Condition("Ready", "True", "AllAvailable", text)


def _has_rolled_out(observation: Observation, role: str) -> bool:
    key = ChildKey(DEPLOYMENT.kind, object_name(observation.pipeline.metadata.name, role))
    return is_rolled_out(observation.live[key], since=observation.applied.get(key))


def _scaling(observation: Observation) -> Condition:
    kind = "ScalingActive"
    if SCALED_OBJECT not in observation.available:
        text = "the cluster has no KEDA (ScaledObject): the number of workers is fixed; install KEDA to let it follow "
        return Condition(kind, "False", "KedaMissing", text + "the queue")
    if observation.pipeline.spec.paused:
        return Condition(
            kind, "False", "Paused", "spec.paused keeps the workers stopped: set it to false to let KEDA scale them"
        )
    name = object_name(observation.pipeline.metadata.name, WORKER)
    scaled = observation.live.get(ChildKey(SCALED_OBJECT.kind, name))
    found = {item["type"]: item for item in (scaled or {}).get("status", {}).get("conditions", ())}
    if "Ready" not in found:
        return Condition(
            kind,
            "Unknown",
            "NotObservedYet",
            f"KEDA has not reported on the ScaledObject {name} yet: is the keda-operator running?",
        )
    if found["Ready"]["status"] != "True":
        said = found["Ready"].get("message") or "`kubectl describe scaledobject` and the logs of keda-operator say why"
        return Condition(kind, "False", "TriggerFailing", f"KEDA cannot use the ScaledObject {name}: {said}")
    if found.get("Fallback", {}).get("status") == "True":
        return Condition(
            kind,
            "False",
            "Fallback",
            "KEDA cannot read the queue and keeps spec.processing.replicas.fallback workers: its log says why",
        )
    return Condition(kind, "True", "FollowsQueue", "KEDA scales the workers by the depth of the queue")


def _paused(pipeline: EventPipeline) -> Condition:
    if pipeline.spec.paused:
        return Condition(
            "Paused", "True", "SpecPaused", "spec.paused is true: no worker runs, and the queue keeps the events"
        )
    return Condition("Paused", "False", "Running", "spec.paused is false: events are processed")


def _exposed(observation: Observation) -> list[Condition]:
    """Whether there is a way in from outside, nothing where none is asked for."""
    expose, kind = observation.pipeline.spec.expose, "Exposed"
    if expose.gateway and HTTP_ROUTE not in observation.available:
        text = "the cluster has no HTTPRoute, so spec.expose.gateway has no effect: install the Gateway API, or use "
        return [Condition(kind, "False", "HTTPRouteKindMissing", text + "spec.expose.ingress")]
    wanted = [each for each, asked in ((INGRESS, expose.ingress), (HTTP_ROUTE, expose.gateway)) if asked]
    if not wanted:
        return []
    name = object_name(observation.pipeline.metadata.name, INGESTION)
    for each in wanted:
        live = observation.live.get(ChildKey(each.kind, name))
        if live is None:
            return [
                Condition(kind, "Unknown", "NotCreatedYet", f"the operator has not created the {each.kind} {name} yet")
            ]
        if refusal := _route_refusal(live):
            return [Condition(kind, "False", "RouteRefused", f"the Gateway refuses the HTTPRoute {name}: {refusal}")]
    kinds = " and ".join(each.kind for each in wanted)
    return [Condition(kind, "True", "RouteCreated", f"the {kinds} {name} leads to ingestion")]


def _route_refusal(route: Manifest) -> str:
    """What the first Gateway that refuses an HTTPRoute says, empty if none does."""
    for parent in route.get("status", {}).get("parents", ()):
        for condition in parent.get("conditions", ()):
            if condition["type"] in ("Accepted", "ResolvedRefs") and condition["status"] == "False":
                return f"{condition.get('reason', condition['type'])}: {condition.get('message', '')}"
    return ""


def _phase(observation: Observation, ready: Condition, previous: Status, *, stalled: bool) -> str:
    if observation.draining:
        return "Draining"
    if observation.refusals:
        return "Failed"
    if ready.holds:
        return "Paused" if observation.pipeline.spec.paused else "Ready"
    if ready.reason == "SecretMissing":
        return "Degraded" if _was_ready(previous) else "Pending"
    if ready.reason in ("RollingOut", "NotCreatedYet", "NotReadYet"):
        return "Progressing"
    return "Degraded" if _was_ready(previous) or stalled else "Progressing"


def _was_ready(previous: Status) -> bool:
    return previous.get("phase") in ("Ready", "Paused", "Degraded")


def _depth(observation: Observation, previous: Status) -> Status:
    kept = (
        *("queueDepth", "queueMessages", "oldestEventSeconds", "deadLetters", "scheduled"),
        *("concurrency", "lastDepthReading"),
    )
    before = {name: previous[name] for name in kept if name in previous}
    reading = observation.reading
    backlog = reading.backlog if reading else None
    if reading is None or backlog is None:
        return before
    limit = concurrency_limit(
        observation.pipeline.spec.processing.concurrency, backlog.events, previous.get("concurrency")
    )
    current = {
        "queueDepth": backlog.events,
        "queueMessages": backlog.messages,
        "oldestEventSeconds": round(backlog.oldest_seconds or 0.0),
        "deadLetters": backlog.dead_letters,
        "scheduled": backlog.scheduled,
        "concurrency": limit,
    }
    shown = before.get("lastDepthReading")
    if shown and {**before, **current} == before and reading.at - datetime.fromisoformat(shown) < READING_SHOWN_EVERY:
        return before
    return {**current, "lastDepthReading": timestamp(reading.at)}


def _ready_replicas(deployment: Manifest | None) -> int:
    return int((deployment or {}).get("status", {}).get("readyReplicas", 0))
