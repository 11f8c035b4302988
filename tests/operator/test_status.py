"""What the status says about what was found."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import jsonschema_rs
import pytest
from tests.operator.examples import SPECS, pipeline

from cloudscale.ledger.backlog import Backlog
from cloudscale.pipeline.crd import status_schema
from cloudscale_operator.applying import Refusal
from cloudscale_operator.availability import is_unserved
from cloudscale_operator.children import ChildKey
from cloudscale_operator.depth import Reading
from cloudscale_operator.kinds import HTTP_ROUTE, OPTIONAL_KINDS
from cloudscale_operator.pods import Problem
from cloudscale_operator.status import Observation, Status, build_status, endpoint

NOW = datetime(2026, 1, 1, tzinfo=UTC)
EVERYTHING = frozenset(OPTIONAL_KINDS)


def deployment(role: str, *, replicas: int = 1, available: int = 1, **status: Any) -> tuple[ChildKey, dict[str, Any]]:
    counts = {"replicas": replicas, "updatedReplicas": replicas, "availableReplicas": available}
    body = {
        "kind": "Deployment",
        "metadata": {"name": f"example-{role}", "generation": 1},
        "spec": {"replicas": replicas},
        "status": {"observedGeneration": 1, "readyReplicas": available, **counts, **status},
    }
    return ChildKey("Deployment", f"example-{role}"), body


def scaled(**conditions: str) -> tuple[ChildKey, dict[str, Any]]:
    found = [{"type": kind, "status": status, "message": "why"} for kind, status in conditions.items()]
    return ChildKey("ScaledObject", "example-worker"), {"status": {"conditions": found}}


def depth(events: int = 0, *, messages: int | None = None, at: datetime = NOW) -> Reading:
    held = events if messages is None else messages
    return Reading(at, Backlog(events=events, messages=held, dead_letters=0, scheduled=0, oldest_seconds=12.4))


ALL = [deployment("ingestion"), deployment("worker"), deployment("dashboard"), scaled(Ready="True")]


def found(*children: tuple[ChildKey, dict[str, Any]], spec: dict[str, Any] | None = None) -> Observation:
    return Observation(
        pipeline=pipeline(spec or {}), live=dict([*ALL, *children]), available=EVERYTHING, reading=depth()
    )


def status_of(observation: Observation, previous: Status | None = None) -> Status:
    built = build_status(observation, previous or {}, now=NOW)
    jsonschema_rs.validator_for(status_schema()).validate(built)
    return built


def reasons(observation: Observation, previous: Status | None = None) -> dict[str, str]:
    conditions = status_of(observation, previous)["conditions"]
    return {condition["type"]: f"{condition['status']} {condition['reason']}" for condition in conditions}


def test_a_pipeline_with_everything_in_its_place_is_ready() -> None:
    assert status_of(found())["phase"] == "Ready"
    assert reasons(found()) == {
        "Ready": "True AllAvailable",
        "BackendsReachable": "True DepthRead",
        "IngestionAvailable": "True ReplicasAvailable",
        "WorkersAvailable": "True ReplicasAvailable",
        "ScalingActive": "True FollowsQueue",
        "Paused": "False Running",
    }


def test_a_new_pipeline_is_progressing() -> None:
    observation = replace(found(), live={}, reading=None)
    assert status_of(observation)["phase"] == "Progressing"
    assert reasons(observation)["IngestionAvailable"] == "Unknown NotCreatedYet"


@pytest.mark.parametrize(("before", "phase"), [({}, "Progressing"), ({"phase": "Ready"}, "Degraded")])
def test_a_lost_replica_degrades_what_was_ready(before: Status, phase: str) -> None:
    observation = found(deployment("ingestion", available=0))
    assert status_of(observation, before)["phase"] == phase
    assert reasons(observation)["Ready"] == "False NoReplicaAvailable"


def test_a_rollout_under_way_is_not_ready() -> None:
    observation = found(deployment("worker", updatedReplicas=0))
    assert reasons(observation)["Ready"] == "False RollingOut"
    assert status_of(observation)["phase"] == "Progressing"


def test_a_pipeline_stays_ready_while_an_autoscaler_adds_replicas() -> None:
    key, worker = deployment("worker", replicas=1)
    worker["spec"]["replicas"] = 10
    assert reasons(found((key, worker)))["Ready"] == "True AllAvailable"


def test_a_stalled_rollout_is_degraded_and_told() -> None:
    problem = {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded", "message": "too long"}
    observation = found(deployment("worker", updatedReplicas=0, conditions=[problem]))
    assert status_of(observation)["phase"] == "Degraded"
    assert "ProgressDeadlineExceeded: too long" in status_of(observation)["conditions"][0]["message"]


def test_a_broker_that_does_not_answer_is_told() -> None:
    observation = replace(found(), reading=Reading(NOW, None, "the broker is away"))
    assert reasons(observation)["BackendsReachable"] == "False BrokerUnreachable"
    assert status_of(observation, {"phase": "Ready"})["phase"] == "Degraded"


def test_the_last_known_depth_stays_while_the_broker_is_away() -> None:
    observation = replace(found(), reading=Reading(NOW, None, "the broker is away"))
    assert status_of(observation, {"queueDepth": 7, "concurrency": 16})["queueDepth"] == 7


def test_missing_secrets_are_pending_at_first() -> None:
    observation = replace(found(), missing=("the queue needs a Secret",))
    assert status_of(observation)["phase"] == "Pending"


def test_no_worker_on_an_empty_queue_is_fine_when_scaled_to_zero() -> None:
    spec = {"processing": {"replicas": {"min": 0}}}
    observation = found(deployment("worker", replicas=0, available=0), spec=spec)
    assert reasons(observation)["WorkersAvailable"] == "True ScaledToZero"
    assert status_of(observation)["phase"] == "Ready"


@pytest.mark.parametrize(
    ("since", "reason"),
    [(None, "True Waking"), (60, "True Waking"), (64, "True Waking"), (66, "False NotWoken")],
)
def test_a_queue_that_no_worker_wakes_up_for_is_told_after_a_while(since: int | None, reason: str) -> None:
    spec = {"processing": {"replicas": {"min": 0, "pollingInterval": "5s"}}}
    asleep = found(deployment("worker", replicas=0, available=0), spec=spec)
    moment = None if since is None else NOW - timedelta(seconds=since)
    observation = replace(asleep, reading=depth(7), unserved_since=moment)
    assert reasons(observation)["WorkersAvailable"] == reason
    assert reasons(observation)["Ready"] == ("False NotWoken" if reason == "False NotWoken" else "True AllAvailable")


@pytest.mark.parametrize(("since", "reason"), [(124, "True Waking"), (126, "False NoReplicaAvailable")])
def test_a_worker_that_was_woken_and_does_not_start_is_told_after_a_while(since: int, reason: str) -> None:
    spec = {"processing": {"replicas": {"min": 0, "pollingInterval": "5s"}}}
    starting = found(deployment("worker", available=0), spec=spec)
    observation = replace(starting, reading=depth(7), unserved_since=NOW - timedelta(seconds=since))
    assert reasons(observation)["WorkersAvailable"] == reason


def test_a_worker_that_was_woken_and_cannot_start_is_told_at_once() -> None:
    spec = {"processing": {"replicas": {"min": 0}}}
    starting = found(deployment("worker", available=0), spec=spec)
    problem = {"worker": Problem("Unschedulable", "pod x: no node")}
    observation = replace(starting, reading=depth(7), unserved_since=NOW, problems=problem)
    assert reasons(observation)["WorkersAvailable"] == "False Unschedulable"


def test_an_autoscalers_wish_that_the_deployment_has_not_seen_yet_is_no_rollout() -> None:
    key, worker = deployment("worker")
    worker["metadata"]["generation"] = 7
    worker["status"]["observedGeneration"] = 6
    observation = found((key, worker))
    assert reasons(observation)["Ready"] == "False RollingOut"
    assert reasons(replace(observation, applied={key: 6}))["Ready"] == "True AllAvailable"


def test_workers_at_zero_prove_nothing_about_a_queue_that_cannot_be_read() -> None:
    spec = {"processing": {"replicas": {"min": 0}}}
    asleep = found(deployment("worker", replicas=0, available=0), spec=spec)
    observation = replace(asleep, reading=Reading(NOW, None, "the broker is away"))
    assert reasons(observation)["WorkersAvailable"] == "Unknown DepthUnknown"


@pytest.mark.parametrize(
    ("replicas", "active", "unserved"), [(0, 1, True), (0, 0, False), (1, 1, False), (None, 1, False)]
)
def test_a_queue_is_unserved_when_it_holds_something_and_no_worker_is_asked_for(
    replicas: int | None, active: int, *, unserved: bool
) -> None:
    worker = None if replicas is None else deployment("worker", replicas=replicas)[1]
    assert is_unserved(worker, depth(active)) is unserved


def test_a_paused_pipeline_is_ready_without_workers() -> None:
    observation = found(deployment("worker", replicas=0, available=0), spec={"paused": True})
    assert status_of(observation)["phase"] == "Paused"
    expected = {"Ready": "True AllAvailable", "WorkersAvailable": "False Paused", "Paused": "True SpecPaused"}
    assert reasons(observation).items() >= expected.items()


@pytest.mark.parametrize(
    ("conditions", "reason"),
    [
        ({}, "Unknown NotObservedYet"),
        ({"Ready": "False"}, "False TriggerFailing"),
        ({"Ready": "True", "Fallback": "True"}, "False Fallback"),
        ({"Ready": "True", "Fallback": "False"}, "True FollowsQueue"),
    ],
)
def test_scaling_is_what_keda_says(conditions: dict[str, str], reason: str) -> None:
    assert reasons(found(scaled(**conditions)))["ScalingActive"] == reason


def test_scaling_that_fails_does_not_make_a_pipeline_unready() -> None:
    assert status_of(replace(found(), available=frozenset()))["phase"] == "Ready"


def test_refused_objects_fail_the_pipeline() -> None:
    observation = replace(found(), refusals=(Refusal("ApplyRefused", "PATCH … was answered with 403"),))
    assert status_of(observation)["phase"] == "Failed"


def test_the_depth_is_told_in_events_and_beside_it_the_messages_and_the_age_of_the_oldest() -> None:
    status = status_of(replace(found(), reading=depth(12_000, messages=130)))
    told = {name: status[name] for name in ("queueDepth", "queueMessages", "oldestEventSeconds", "concurrency")}
    assert told == {"queueDepth": 12_000, "queueMessages": 130, "oldestEventSeconds": 12, "concurrency": 4}


def test_the_concurrency_follows_the_depth_and_holds_on() -> None:
    deep = status_of(replace(found(), reading=depth(12_000)))
    falling = status_of(replace(found(), reading=depth(3_000)), deep)
    shallow = status_of(replace(found(), reading=depth(10)), falling)
    assert [status["concurrency"] for status in (deep, falling, shallow)] == [4, 4, 32]


def test_a_reading_that_changed_nothing_does_not_change_the_status() -> None:
    before = status_of(found())
    later = replace(found(), reading=depth(at=NOW + timedelta(seconds=1)))
    assert status_of(later, before) == before


def test_the_time_of_the_reading_is_renewed_once_in_a_while() -> None:
    before = status_of(found())
    later = replace(found(), reading=depth(at=NOW + timedelta(minutes=1)))
    assert status_of(later, before)["lastDepthReading"] == "2026-01-01T00:01:00Z"


@pytest.mark.parametrize(
    ("name", "url"),
    [
        ("default", "http://example-ingestion.shop.svc"),
        ("ingress", "https://events.example.com"),
        ("gateway", "https://events.example.com"),
    ],
)
def test_the_endpoint_is_where_clients_reach_ingestion(name: str, url: str) -> None:
    assert endpoint(pipeline(SPECS[name]), EVERYTHING) == url


def test_a_gateway_without_the_gateway_api_is_told_and_the_endpoint_is_the_service() -> None:
    observation = replace(found(spec=SPECS["gateway"]), available=EVERYTHING - {HTTP_ROUTE})
    status = status_of(observation)
    assert reasons(observation)["Exposed"] == "False HTTPRouteKindMissing"
    assert status["endpoint"] == "http://example-ingestion.shop.svc"
    assert status["phase"] == "Ready"


@pytest.mark.parametrize(
    ("live", "reason"),
    [
        (None, "Unknown NotCreatedYet"),
        ({}, "True RouteCreated"),
        ({"type": "Accepted", "status": "True"}, "True RouteCreated"),
        ({"type": "Accepted", "status": "False", "reason": "NotAllowedByListeners"}, "False RouteRefused"),
    ],
)
def test_a_route_is_what_its_gateway_says(live: dict[str, str] | None, reason: str) -> None:
    key = ChildKey("HTTPRoute", "example-ingestion")
    route = {"status": {"parents": [{"conditions": [live] if live else []}]}}
    children = [(key, route)] if live is not None else []
    assert reasons(found(*children, spec=SPECS["gateway"]))["Exposed"] == reason


def test_a_pipeline_that_is_not_exposed_says_nothing_about_it() -> None:
    assert "Exposed" not in reasons(found())
