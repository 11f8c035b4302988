"""Why pods do not run, in their own words."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from tests.waiting import wait_until

from cloudscale_operator import pods
from cloudscale_operator.names import selector_labels
from cloudscale_operator.pods import MESSAGE_LENGTH, start_failure, trouble_of

if TYPE_CHECKING:
    from tests.operator.api_server import ApiServer
    from tests.operator.bench import Bench

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
    trouble = trouble_of(pod(status))
    assert trouble is not None
    assert trouble.reason == reason
    assert trouble.message.startswith("pod example-worker-1: ")
    assert message in trouble.message


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
    assert trouble_of(pod(status)) is None


def test_the_last_event_says_what_a_pod_waits_for() -> None:
    events = [
        {"reason": "Scheduled", "message": "assigned", "lastTimestamp": "2026-01-01T00:00:05Z"},
        {"reason": "FailedMount", "message": "new", "lastTimestamp": "2026-01-01T00:00:02Z"},
        {"reason": "FailedMount", "message": "old", "lastTimestamp": "2026-01-01T00:00:01Z"},
    ]
    trouble = start_failure(pod({}), events)
    assert trouble is not None
    assert (trouble.reason, trouble.message) == ("FailedMount", "pod example-worker-1: new")


def test_a_reason_and_a_message_fit_into_a_condition() -> None:
    status = {"containerStatuses": [waiting("Odd reason!", "x" * 5000)]}
    trouble = trouble_of(pod(status))
    assert trouble is not None
    assert trouble.reason == "Oddreason"
    assert len(trouble.message) <= MESSAGE_LENGTH


def store(server: ApiServer, found: dict[str, Any]) -> dict[str, Any]:
    return server.store(f"/api/v1/namespaces/shop/pods/{found['metadata']['name']}", found)


async def test_the_status_names_what_the_pods_say(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pods, "FIRST_LOOK_SECONDS", 0.0)
    monkeypatch.setattr(pods, "LOOK_SECONDS", 0.0)
    bench.server.add_pipeline(spec={})
    await bench.visit_with_depth()
    bench.make_available("ingestion", "worker", "dashboard", available=0)
    stored = store(bench.server, pod({"containerStatuses": [waiting("ContainerCreating")]}))
    involved = {"uid": stored["metadata"]["uid"]}
    event = {"kind": "Event", "metadata": {"name": "e", "namespace": "shop"}, "involvedObject": involved}
    failure = {"reason": "FailedMount", "message": 'secret "tokens" not found'}
    bench.server.store("/api/v1/namespaces/shop/events/e", event | failure)
    store(bench.server, pod({"containerStatuses": [KILLED]}, role="ingestion", name="example-ingestion-1"))

    async def told() -> bool:
        await bench.visit()
        return bool(bench.condition("WorkersAvailable")["reason"] == "FailedMount")

    await wait_until(told, within=WAIT)
    assert (
        'FailedMount: pod example-worker-1: secret "tokens" not found' in bench.condition("WorkersAvailable")["message"]
    )
    assert bench.condition("IngestionAvailable")["reason"] == "OOMKilled"
    assert bench.condition("Ready")["reason"] == "OOMKilled"
    assert "IngestionAvailable: none of 1 replicas is available: OOMKilled" in bench.condition("Ready")["message"]


async def test_a_rollout_that_does_not_go_on_names_what_the_pods_say(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pods, "FIRST_LOOK_SECONDS", 0.0)
    monkeypatch.setattr(pods, "LOOK_SECONDS", 0.0)
    bench.server.add_pipeline(spec={})
    await bench.visit_with_depth()
    bench.make_available("ingestion", "worker", "dashboard")
    path = "/apis/apps/v1/namespaces/shop/deployments/example-worker"
    bench.server.objects[path]["status"] |= {"updatedReplicas": 0}
    store(bench.server, pod({"containerStatuses": [waiting("ImagePullBackOff", "no such image")]}))

    async def told() -> bool:
        await bench.visit()
        return bool(bench.condition("Ready")["reason"] == "ImagePullBackOff")

    await wait_until(told, within=WAIT)
    assert bench.condition("WorkersAvailable")["status"] == "True"
    assert "no such image" in bench.condition("Ready")["message"]


async def test_pods_are_not_asked_for_in_their_first_seconds_nor_when_all_is_well(bench: Bench) -> None:
    bench.server.add_pipeline(spec={})
    await bench.visit_with_depth()
    bench.make_available("ingestion", "worker", "dashboard", available=0)
    await bench.visit()
    assert not [path for _, path in bench.server.requests if path.endswith("/pods")]
    bench.make_available("ingestion", "worker", "dashboard")
    await bench.visit()
    assert not [path for _, path in bench.server.requests if path.endswith("/pods")]
