"""KEDA's own Service Bus trigger scales the workers, to zero and back, while the depth decides their concurrency."""

from __future__ import annotations

import re
from itertools import groupby
from typing import TYPE_CHECKING

from e2e.cluster import wait_until
from e2e.documents import wait_stored
from e2e.faults import slow_store
from e2e.pipelines import RUN, pipeline
from e2e.purchases import page_views
from e2e.traffic import send, send_batches

if TYPE_CHECKING:
    from e2e.cluster import Cluster

EVENTS = 20_000
SECOND_STEP = 8_000
NAME = f"scaling-{RUN}"
MOST_WORKERS = 4


def test_workers_and_concurrency_follow_the_queue(cluster: Cluster) -> None:
    cluster.apply(
        pipeline(
            NAME,
            # One event a message, so that 20,000 events are a depth of 20,000.
            queue={"eventsPerMessage": 1},
            processing={
                "replicas": {
                    "min": 0,
                    "max": MOST_WORKERS,
                    "messagesPerReplica": 2000,
                    "pollingInterval": "2s",
                    "cooldown": "10s",
                },
                "prefetch": 10,
            },
        )
    )
    cluster.wait_ready(NAME)
    wait_until("no worker runs", lambda: workers(cluster) == 0, seconds=120)

    events = page_views(EVENTS, prefix=NAME)
    seen: list[int] = []
    wait_until("the concurrency is 32", lambda: record(cluster, seen) == 32, seconds=30)
    with slow_store(cluster, milliseconds=2000):
        with cluster.ingestion(NAME) as address:
            accepted = send_batches(address, events[:SECOND_STEP])
            wait_until("the depth has cut the concurrency to 16", lambda: record(cluster, seen) == 16, seconds=60)
            accepted += send_batches(address, events[SECOND_STEP:])
        wait_until("the depth has cut the concurrency to 4", lambda: record(cluster, seen) == 4, seconds=60)
        wait_until("KEDA has started every worker", lambda: workers(cluster) == MOST_WORKERS, seconds=120)
        metric = cluster.get("hpa", f"--selector=scaledobject.keda.sh/name={NAME}-worker")["items"][0]
        assert metric["status"]["currentMetrics"][0]["type"] == "External"
    wait_until("the concurrency is 32 again", lambda: record(cluster, seen) == 32, seconds=300)
    assert [step for step, _ in groupby(seen)] == [32, 16, 4, 16, 32]
    assert warned_depths(cluster) == {5000, 10_000}
    wait_stored(cluster, NAME, accepted)

    wait_until("no worker runs, the queue being empty", lambda: workers(cluster) == 0, seconds=180)
    with cluster.ingestion(NAME) as address:
        accepted.append(send(address, page_views(1, prefix="wake")[0]))
    wait_stored(cluster, NAME, accepted)
    cluster.kubectl("delete", "evp", NAME, "--timeout=120s")


def workers(cluster: Cluster) -> int:
    """The worker pods that there are."""
    return len(cluster.pods(NAME, "worker"))


def warned_depths(cluster: Cluster) -> set[int]:
    """The thresholds that the Warning events of the pipeline name."""
    selector = f"--field-selector=involvedObject.name={NAME},type=Warning,reason=QueueDepth"
    messages = [event["message"] for event in cluster.get("events", selector)["items"]]
    return {int(depth) for message in messages for depth in re.findall(r"(\d+) or more", message)}


def record(cluster: Cluster, seen: list[int]) -> int:
    """The concurrency in the status, kept in ``seen``."""
    concurrency: int = cluster.status(NAME)["concurrency"]
    seen.append(concurrency)
    return concurrency
