"""Why pods do not run, in their own words."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from tests.waiting import wait_until

from cloudscale_operator.names import selector_labels
from cloudscale_operator.pods import MESSAGE_LENGTH, problem_of, start_failure
from cloudscale_operator.timing import Timing

if TYPE_CHECKING:
    from tests.operator.api_server import ApiServer
    from tests.operator.harness import Harness

WAIT = timedelta(seconds=20)

UNSCHEDULABLE = {
    "phase": "Pending",
    "conditions": [
        {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes are available"}
    ],
}


def container(*, ready: bool = False, restarts: int = 0, **states: Any) -> dict[str, Any]:
    return {"name": "worker", "ready": ready, "restartCount": restarts, **states}


def waiting(reason: str, message: str = "", **states: Any) -> dict[str, Any]:
    return container(restarts=3, state={"waiting": {"reason": reason, "message": message}}, **states)


CRASHED = waiting("CrashLoopBackOff", "back-off 40s", lastState={"terminated": {"reason": "Error", "exitCode": 2}})
KILLED = waiting("CrashLoopBackOff", "back-off 40s", lastState={"terminated": {"reason": "OOMKilled", "exitCode": 137}})


def pod(status: dict[str, Any], *, role: str = "worker", name: str = "example-worker-1") -> dict[str, Any]:
    labels = selector_labels("example", role)
    return {"kind": "Pod", "metadata": {"name": name, "namespace": "shop", "labels": labels}, "status": status}


@pytest.mark.parametrize(
    ("status", "reason", "message"),
    [
        (UNSCHEDULABLE, "Unschedulable", "0/3 nodes are available"),
        ({"containerStatuses": [CRASHED]}, "CrashLoopBackOff", "container worker, restarted 3 times, exit code 2"),
        ({"containerStatuses": [KILLED]}, "OOMKilled", "more memory than its limit"),
        (
            {
                "containerStatuses": [
                    container(lastState={"terminated": {"reason": "OOMKilled"}}, state={"running": {}})
                ]
            },
            "OOMKilled",
            "more memory than its limit",
        ),
        ({"containerStatuses": [waiting("ImagePullBackOff", "no such image")]}, "ImagePullBackOff", "no such image"),
        (
            {"containerStatuses": [waiting("CreateContainerConfigError", 'secret "x" not found')]},
            "CreateContainerConfigError",
            'secret "x" not found',
        ),
        ({"containerStatuses": [container(state={"terminated": {"exitCode": 3}})]}, "Error", "exit code 3"),
        ({"phase": "Failed", "reason": "Evicted", "message": "low on memory"}, "Evicted", "low on memory"),
        ({"initContainerStatuses": [CRASHED]}, "CrashLoopBackOff", "exit code 2"),
    ],
)
def test_a_pod_that_does_not_run_says_why(status: dict[str, Any], reason: str, message: str) -> None:
    problem = problem_of(pod(status))
    assert problem is not None
    assert problem.reason == reason
    assert problem.message.startswith("pod example-worker-1: ")
    assert message in problem.message


@pytest.mark.parametrize(
    "status",
    [
        {},
        {"containerStatuses": [waiting("ContainerCreating")]},
        {"containerStatuses": [container(state={"running": {}})]},
        {"containerStatuses": [container(ready=True, lastState={"terminated": {"reason": "OOMKilled"}})]},
        {"conditions": [{"type": "PodScheduled", "status": "True"}]},
    ],
)
def test_a_pod_that_starts_or_runs_is_in_no_trouble(status: dict[str, Any]) -> None:
    assert problem_of(pod(status)) is None


def test_the_last_event_says_what_a_pod_waits_for() -> None:
    events = [
        {"reason": "Scheduled", "message": "assigned", "lastTimestamp": "2026-01-01T00:00:05Z"},
        {"reason": "FailedMount", "message": "new", "lastTimestamp": "2026-01-01T00:00:02Z"},
        {"reason": "FailedMount", "message": "old", "lastTimestamp": "2026-01-01T00:00:01Z"},
    ]
    problem = start_failure(pod({}), events)
    assert problem is not None
    assert (problem.reason, problem.message) == ("FailedMount", "pod example-worker-1: new")


def test_a_reason_and_a_message_fit_into_a_condition() -> None:
    status = {"containerStatuses": [waiting("Odd reason!", "x" * 5000)]}
    problem = problem_of(pod(status))
    assert problem is not None
    assert problem.reason == "Oddreason"
    assert len(problem.message) <= MESSAGE_LENGTH


def store(server: ApiServer, found: dict[str, Any]) -> dict[str, Any]:
    return server.store(f"/api/v1/namespaces/shop/pods/{found['metadata']['name']}", found)


AT_ONCE = pytest.mark.parametrize("timing", [Timing(first_pod_check_seconds=0.0, pod_check_seconds=0.0)])


@AT_ONCE
async def test_the_status_names_what_the_pods_say(harness: Harness) -> None:
    harness.server.add_pipeline(spec={})
    await harness.visit_with_depth()
    harness.make_available("ingestion", "worker", "dashboard", available=0)
    stored = store(harness.server, pod({"containerStatuses": [waiting("ContainerCreating")]}))
    involved = {"uid": stored["metadata"]["uid"]}
    event = {"kind": "Event", "metadata": {"name": "e", "namespace": "shop"}, "involvedObject": involved}
    failure = {"reason": "FailedMount", "message": 'secret "tokens" not found'}
    harness.server.store("/api/v1/namespaces/shop/events/e", event | failure)
    store(harness.server, pod({"containerStatuses": [KILLED]}, role="ingestion", name="example-ingestion-1"))

    async def told() -> bool:
        await harness.visit()
        return bool(harness.condition("WorkersAvailable")["reason"] == "FailedMount")

    await wait_until(told, within=WAIT)
    assert (
        'FailedMount: pod example-worker-1: secret "tokens" not found'
        in harness.condition("WorkersAvailable")["message"]
    )
    assert harness.condition("IngestionAvailable")["reason"] == "OOMKilled"
    assert harness.condition("Ready")["reason"] == "OOMKilled"
    assert "IngestionAvailable: none of 1 replicas is available: OOMKilled" in harness.condition("Ready")["message"]


@AT_ONCE
async def test_a_rollout_that_does_not_go_on_names_what_the_pods_say(harness: Harness) -> None:
    harness.server.add_pipeline(spec={})
    await harness.visit_with_depth()
    harness.make_available("ingestion", "worker", "dashboard")
    path = "/apis/apps/v1/namespaces/shop/deployments/example-worker"
    harness.server.objects[path]["status"] |= {"updatedReplicas": 0}
    store(harness.server, pod({"containerStatuses": [waiting("ImagePullBackOff", "no such image")]}))

    async def told() -> bool:
        await harness.visit()
        return bool(harness.condition("Ready")["reason"] == "ImagePullBackOff")

    await wait_until(told, within=WAIT)
    assert harness.condition("WorkersAvailable")["status"] == "True"
    assert "no such image" in harness.condition("Ready")["message"]


async def test_pods_are_not_asked_for_in_their_first_seconds_nor_when_all_is_well(harness: Harness) -> None:
    harness.server.add_pipeline(spec={})
    await harness.visit_with_depth()
    harness.make_available("ingestion", "worker", "dashboard", available=0)
    await harness.visit()
    assert not [path for _, path in harness.server.requests if path.endswith("/pods")]
    harness.make_available("ingestion", "worker", "dashboard")
    await harness.visit()
    assert not [path for _, path in harness.server.requests if path.endswith("/pods")]
