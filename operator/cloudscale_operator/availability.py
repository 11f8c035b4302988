"""Whether the pods of a role are there, and why they are not: what a Deployment says, and what its pods say."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from cloudscale.units import parse_duration
from cloudscale_operator.children import ChildKey
from cloudscale_operator.conditions import Condition, timestamp
from cloudscale_operator.kinds import DEPLOYMENT
from cloudscale_operator.names import DASHBOARD, INGESTION, WORKER, object_name

if TYPE_CHECKING:
    from cloudscale.pipeline import EventPipeline
    from cloudscale_operator.children import Children, PipelineKey
    from cloudscale_operator.depth import Reading
    from cloudscale_operator.kinds import Manifest
    from cloudscale_operator.pods import Problem

WAKE_SECONDS = 60.0
"""How long after its polling interval KEDA may take to start a worker for a queue that is no longer empty."""
START_SECONDS = 60.0
"""How long after that the worker may take until it is ready."""

ROLES = (INGESTION, WORKER, DASHBOARD)
WORKERS = "WorkersAvailable"
SCALED_TO_ZERO = ("ScaledToZero", "Waking")
"""Reasons for workers to be available although there is none."""


def availability(kind: str, deployment: Manifest | None, problem: Problem | None) -> Condition:
    """The condition of one role."""
    if deployment is None:
        return Condition(kind, "Unknown", "NotCreatedYet", "the operator has not created the Deployment yet")
    status = deployment.get("status", {})
    available, wanted = status.get("availableReplicas", 0), deployment["spec"].get("replicas", 1)
    if available:
        return Condition(kind, "True", "ReplicasAvailable", f"{available} of {wanted} replicas are available")
    stalled = rollout_problem(deployment)
    if problem:
        return Condition(kind, "False", problem.reason, f"none of {wanted} replicas is available: {problem}")
    reason = "RolloutStalled" if stalled else "NoReplicaAvailable"
    text = stalled or f"none of {wanted} replicas is available: `kubectl describe pods` and their logs say why"
    return Condition(kind, "False", reason, text)


def workers_availability(
    pipeline: EventPipeline,
    deployment: Manifest | None,
    problem: Problem | None,
    *,
    reading: Reading | None,
    unserved_since: datetime | None,
    now: datetime,
) -> Condition:
    """The condition of the workers, of which there need not be any."""
    if deployment is None or pipeline.spec.processing.replicas.min or pipeline.spec.paused:
        if deployment is not None and pipeline.spec.paused and deployment["spec"].get("replicas") == 0:
            text = "spec.paused keeps the workers stopped and the events in the queue: set it to false to process them"
            return Condition(WORKERS, "False", "Paused", text)
        return availability(WORKERS, deployment, problem)
    waited = now - unserved_since if unserved_since else timedelta(0)
    grace = parse_duration(pipeline.spec.processing.replicas.polling_interval) + timedelta(seconds=WAKE_SECONDS)
    if deployment["spec"].get("replicas") == 0:
        return _scaled_to_zero(reading, waited=waited, grace=grace, now=now)
    is_starting = unserved_since and waited <= grace + timedelta(seconds=START_SECONDS)
    if is_starting and not problem and not rollout_problem(deployment) and not _available(deployment):
        return Condition(WORKERS, "True", "Waking", "the queue is no longer empty: a worker starts")
    return availability(WORKERS, deployment, problem)


def _scaled_to_zero(reading: Reading | None, *, waited: timedelta, grace: timedelta, now: datetime) -> Condition:
    backlog = reading.backlog if reading else None
    if backlog is None:
        return Condition(
            WORKERS,
            "Unknown",
            "DepthUnknown",
            "no worker runs, and the queue cannot be read to see whether one is needed: see BackendsReachable",
        )
    if not backlog.messages:
        return Condition(WORKERS, "True", "ScaledToZero", "the queue is empty, so no worker is needed")
    if waited > grace:
        text = "the queue is not empty, and KEDA has started no worker since "
        text += f"{timestamp(now - waited)}: the ScaledObject and the logs of keda-operator say why; "
        return Condition(
            WORKERS, "False", "NotWoken", text + "spec.processing.replicas.min: 1 keeps a worker running without KEDA"
        )
    return Condition(WORKERS, "True", "Waking", "the queue is no longer empty: KEDA starts a worker")


def is_unserved(deployment: Manifest | None, reading: Reading | None, *, was_scaled_to_zero: bool = False) -> bool:
    """Whether the queue holds something and nobody is there to process it.

    Where none ran before, a worker that is starting counts as none; where one ran before, it has been lost.
    """
    if deployment is None:
        return False
    if deployment["spec"].get("replicas") == 0:
        return bool(reading and reading.backlog and reading.backlog.messages)
    return was_scaled_to_zero and not _available(deployment)


def was_scaled_to_zero(status: dict[str, Any]) -> bool:
    """Whether, when the status was written, no worker ran because none was needed."""
    return any(each["type"] == WORKERS and each["reason"] in SCALED_TO_ZERO for each in status.get("conditions", ()))


def is_rolled_out(deployment: Manifest, *, since: int | None = None) -> bool:
    """Whether no pod of an earlier template is left. Replicas that an autoscaler has just asked for do not matter.

    ``since`` is the generation in which the operator's manifest changed last, if that is known: later ones are the
    autoscaler's, and need not have been seen by the Deployment's controller.
    """
    status, generation = deployment.get("status", {}), deployment["metadata"].get("generation", 0)
    seen = status.get("observedGeneration", 0) >= (generation if since is None else since)
    return bool(seen and status.get("replicas", 0) <= status.get("updatedReplicas", 0))


def needs_pods(deployment: Manifest | None, *, since: int | None = None) -> bool:
    """Whether there are pods that should be available, or that a rollout waits for."""
    if deployment is None or not deployment.get("status", {}).get("replicas") or rollout_refused(deployment):
        return False
    return not _available(deployment) or not is_rolled_out(deployment, since=since)


def unavailable_roles(key: PipelineKey, children: Children) -> frozenset[str]:
    """The roles of a pipeline that have no available pod, or that are being rolled out."""
    live, applied = children.of(key), children.applied(key)
    deployments = {role: ChildKey(DEPLOYMENT.kind, object_name(key.name, role)) for role in ROLES}
    return frozenset(
        role for role, which in deployments.items() if needs_pods(live.get(which), since=applied.get(which))
    )


def rollout_refused(deployment: Manifest) -> bool:
    """Whether the API server takes no pods from the Deployment, so that there is none to ask."""
    conditions = deployment.get("status", {}).get("conditions", ())
    return any(each["type"] == "ReplicaFailure" and each["status"] == "True" for each in conditions)


def rollout_problem(deployment: Manifest | None) -> str:
    """Why a rollout does not go on, empty if it does."""
    for condition in (deployment or {}).get("status", {}).get("conditions", ()):
        failed = condition["type"] == "ReplicaFailure" and condition["status"] == "True"
        stalled = condition["type"] == "Progressing" and condition["status"] == "False"
        if failed or stalled:
            return f"{condition.get('reason', condition['type'])}: {condition.get('message', '')}"
    return ""


def _available(deployment: Manifest) -> int:
    return int(deployment.get("status", {}).get("availableReplicas", 0))
