from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cloudscale.dashboard.kubernetes import Cluster, deployment_summary, event_summaries, pod_summary

if TYPE_CHECKING:
    import pytest


def pod(**status: Any) -> dict[str, Any]:
    return {"metadata": {"name": "worker-1"}, "status": status}


def test_outside_of_a_pod_there_is_no_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)

    assert Cluster.from_environment() is None


def test_a_deployment_is_good_when_all_wanted_replicas_are_ready() -> None:
    item = {"metadata": {"name": "worker"}, "spec": {"replicas": 3}, "status": {"readyReplicas": 2}}

    assert deployment_summary(item) == {
        "kind": "Deployment",
        "name": "worker",
        "state": "2 of 3 ready",
        "good": False,
    }
    assert deployment_summary({**item, "status": {"readyReplicas": 3}})["good"]


def test_a_pod_says_why_its_container_waits() -> None:
    waiting = {"ready": False, "restartCount": 4, "state": {"waiting": {"reason": "CrashLoopBackOff"}}}

    summary = pod_summary(pod(phase="Running", containerStatuses=[waiting]))

    assert summary["state"] == "CrashLoopBackOff, 4 restarts"
    assert not summary["good"]


def test_a_running_pod_is_good() -> None:
    running = {"ready": True, "restartCount": 0, "state": {"running": {}}}

    assert pod_summary(pod(phase="Running", containerStatuses=[running])) == {
        "kind": "Pod",
        "name": "worker-1",
        "state": "Running",
        "good": True,
    }


def test_a_pod_that_is_not_scheduled_yet_is_not_good() -> None:
    assert not pod_summary(pod(phase="Pending"))["good"]


def test_the_newest_events_come_first_whatever_field_has_their_time() -> None:
    items: list[dict[str, Any]] = [
        {"metadata": {}, "lastTimestamp": "2026-01-01T00:00:00Z", "reason": "Old", "count": 3},
        {"metadata": {}, "eventTime": "2026-01-02T00:00:00Z", "reason": "New"},
        {"metadata": {"creationTimestamp": "2026-01-01T12:00:00Z"}, "reason": "Middle"},
    ]

    rows = event_summaries(items)

    assert [row["reason"] for row in rows] == ["New", "Middle", "Old"]
    assert [row["count"] for row in rows] == [1, 1, 3]
