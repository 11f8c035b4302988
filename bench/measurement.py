"""One run of a scenario, and the median of several."""

from __future__ import annotations

import contextlib
import socket
import statistics
import tempfile
import threading
import time
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit

from bench import load
from bench.pipeline import running
from bench.processes import Watch, microseconds_each

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from bench.scenarios import Scenario

WARM_UP_SECONDS = 5
WARM_UP_RATE = 1000
SETTLE_SECONDS = 3
DRAIN_WAIT_SECONDS = 300
SENT_SHARE = 0.995
"""Of what was due; below, the requests that were never sent would make the others look better than they are."""

COUNTS = frozenset({"statuses", "errors"})
"""Figures by name where a name that a run lacks counts as 0."""


class MeasuredPipeline(Protocol):
    """What a measurement asks of a pipeline: see :class:`bench.pipeline.RunningPipeline`."""

    @property
    def url(self) -> str:
        """Where it takes events."""

    def process_ids(self) -> dict[str, list[int]]:
        """Process ids by role."""

    def verify(self, *, wait_seconds: int) -> dict[str, Any]:
        """The balance, once nothing is in flight any more."""

    def set_faults(self, *, broker: dict[str, float], store: dict[str, float]) -> None:
        """Inject faults into the emulators."""


if TYPE_CHECKING:
    Start = Callable[[Scenario, Path], AbstractContextManager[MeasuredPipeline]]


def measure(scenario: Scenario, start: Start = running) -> dict[str, Any]:
    """Run the scenario as often as it specifies; the median of each figure, and every run."""
    runs = [measure_once(scenario, start) for _ in range(scenario.runs)]
    return {"scenario": scenario.name, "title": scenario.title, "median": median(runs), "runs": runs}


def measure_once(scenario: Scenario, start: Start = running) -> dict[str, Any]:
    """Run the scenario once against the pipeline that ``start`` gives."""
    with tempfile.TemporaryDirectory(prefix="cloudscale-bench-", ignore_cleanup_errors=True) as folder:
        bodies = Path(folder) / "bodies"
        load.write_bodies(bodies, events_per_request=scenario.events_per_request)
        with start(scenario, Path(folder)) as pipeline:
            if scenario.rate == 0:
                return _watch_idle(scenario, pipeline)
            load.run(
                replace(scenario, rate=WARM_UP_RATE if scenario.events_per_request == 1 else 20, connections=16),
                pipeline.url, bodies, seconds=WARM_UP_SECONDS,
            )  # fmt: skip
            before = pipeline.verify(wait_seconds=DRAIN_WAIT_SECONDS)
            return _run(scenario, pipeline, bodies, before)


def _run(scenario: Scenario, pipeline: MeasuredPipeline, bodies: Path, before: dict[str, Any]) -> dict[str, Any]:
    roles = pipeline.process_ids()
    with Watch(roles) as watch:
        pipeline.set_faults(broker=scenario.broker_faults, store=scenario.store_faults)
        with _slow_clients(pipeline.url, scenario.slow_clients):
            began = time.time()
            seen = load.run(scenario, pipeline.url, bodies, seconds=scenario.seconds)
            after = _run_afterwards(scenario, pipeline.url, bodies)
            ended = time.time()
        balance = pipeline.verify(wait_seconds=DRAIN_WAIT_SECONDS)
        pipeline.set_faults(broker={}, store={})
    # When the ledger had nothing in flight any more; to count what is stored takes some seconds more.
    drained = datetime.fromisoformat(balance["at"]).timestamp()
    events = (seen.accepted + (after.accepted if after else 0)) * scenario.events_per_request
    accepted_by_server = balance["totals"]["accepted"] - before["totals"]["accepted"]
    figures: dict[str, Any] = {
        "offered": scenario.rate * scenario.seconds if scenario.rate is not None else seen.sent,
        "sent": seen.sent,
        "accepted": seen.accepted,
        "acceptedByServer": accepted_by_server,
        "statuses": seen.statuses,
        "errors": seen.errors,
        "acceptedPerSecond": round(seen.accepted * scenario.events_per_request / seen.seconds, 1),
        "persistedPerSecond": round(events / (drained - began), 1),
        "latencyMilliseconds": {name: round(value, 2) for name, value in seen.latencies.items()},
        "refusedP99Milliseconds": seen.refused_p99,
        "drainSeconds": round(drained - ended, 1),
        "lost": balance["lost"],
        "verified": balance["exitCode"] == 0,
        "cpuMicrosecondsPerEvent": {
            role: microseconds_each(seconds, events) for role, seconds in watch.cpu_seconds.items()
        },
        "generatorCpuMicrosecondsPerRequest": microseconds_each(seen.cpu_seconds, seen.sent),
        "peakMegabytes": {role: round(size) for role, size in watch.peak_megabytes.items()},
        "survived": roles == pipeline.process_ids(),
    }
    if after is not None:
        figures["afterwards"] = {
            "sent": after.sent,
            "accepted": after.accepted,
            "latencyMilliseconds": {name: round(value, 2) for name, value in after.latencies.items()},
        }
    figures["failures"] = failures(scenario, figures, events)
    return figures


def _run_afterwards(scenario: Scenario, url: str, bodies: Path) -> load.Load | None:
    """The scenario's second load, if it has one."""
    if scenario.afterwards is None:
        return None
    second = replace(scenario, rate=scenario.afterwards.rate, counts_from_due_time=True)
    return load.run(second, url, bodies, seconds=scenario.afterwards.seconds)


def failures(scenario: Scenario, figures: dict[str, Any], events: int) -> list[str]:
    """Which of the scenario's bounds a run broke, and whether generator and server disagree."""
    bounds, latency, found = scenario.bounds, figures["latencyMilliseconds"], []
    if figures["acceptedByServer"] != events:
        found.append(f"the server counts {figures['acceptedByServer']} accepted events, the generator saw {events}")
    if not figures["verified"]:
        found.append("cloudscale verify does not say zero lost")
    if not figures["survived"]:
        found.append("a process died")
    limits = (
        ("p50", latency.get("p50"), bounds.p50_milliseconds),
        ("p99", latency.get("p99"), bounds.p99_milliseconds),
        ("seconds to drain", figures["drainSeconds"], bounds.drain_seconds),
        ("p99 of refusals", figures["refusedP99Milliseconds"], bounds.refused_p99_milliseconds),
    )
    found += [f"{name} is {value}, above {most}" for name, value, most in limits if most is not None and value > most]
    if scenario.counts_from_due_time and figures["sent"] < figures["offered"] * SENT_SHARE:
        found.append(f"only {figures['sent']} of {figures['offered']} requests were sent before the time was over")
    share = figures["accepted"] / max(1, figures["sent"])
    if bounds.accepted_share is not None and share < bounds.accepted_share:
        found.append(f"{share:.2%} of the requests were accepted, not {bounds.accepted_share:.0%}")
    if bounds.persisted_per_second is not None and figures["persistedPerSecond"] < bounds.persisted_per_second:
        found.append(f"{figures['persistedPerSecond']} events/s were persisted, below {bounds.persisted_per_second}")
    return found


def _watch_idle(scenario: Scenario, pipeline: MeasuredPipeline) -> dict[str, Any]:
    time.sleep(SETTLE_SECONDS)
    with Watch(pipeline.process_ids()) as watch:
        time.sleep(scenario.seconds)
    return {
        "cpuPercentOfACore": {
            role: round(seconds / scenario.seconds * 100, 2) for role, seconds in watch.cpu_seconds.items()
        },
        "cpuPercentTotal": round(sum(watch.cpu_seconds.values()) / scenario.seconds * 100, 2),
        "peakMegabytes": {role: round(size) for role, size in watch.peak_megabytes.items()},
        "megabytesTotal": round(sum(watch.peak_megabytes.values())),
        "failures": [],
    }


@contextlib.contextmanager
def _slow_clients(url: str, count: int) -> Iterator[None]:
    """Keep ``count`` connections busy that send a request a byte at a time."""
    stopping = threading.Event()
    thread = threading.Thread(target=_trickle, args=(url, count, stopping), name="slow-clients")
    if count:
        thread.start()
    try:
        yield
    finally:
        stopping.set()
        if count:
            thread.join()


def _trickle(url: str, count: int, stopping: threading.Event) -> None:
    address = (urlsplit(url).hostname, urlsplit(url).port)
    head = b"POST /api/v1/events HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 60000\r\n\r\n"
    with contextlib.ExitStack() as connections:
        opened = [connections.enter_context(socket.create_connection(address)) for _ in range(count)]
        for connection in opened:
            connection.sendall(head)
        while not stopping.wait(0.2):
            for connection in opened:
                with contextlib.suppress(OSError):
                    connection.sendall(b" ")


def median(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """The median of every number in the runs, part by part.

    A boolean holds if it does in all runs, lists are those of all runs together, and of anything else the last stands
    for all.
    """
    result: dict[str, Any] = {}
    for name in dict.fromkeys(name for run in runs for name in run):
        values = [run[name] for run in runs if run.get(name) is not None]
        sample = values[-1] if values else None
        if isinstance(sample, dict):
            if name in COUNTS:
                absent = dict.fromkeys((each for value in values for each in value), 0)
                values = [absent | value for value in values]
            result[name] = median(values)
        elif isinstance(sample, bool):
            result[name] = all(values)
        elif isinstance(sample, list):
            result[name] = sorted({each for value in values for each in value})
        elif isinstance(sample, int | float):
            result[name] = statistics.median(values)
        else:
            result[name] = sample
    return result
