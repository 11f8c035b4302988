"""What is measured: load, resource and bounds of each scenario, as data."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

PERSISTED = "everything persisted, zero lost"


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """What a run must keep to pass; None where a figure is only recorded."""

    p50_milliseconds: float | None = None
    p99_milliseconds: float | None = None
    drain_seconds: float | None = None
    accepted_share: float | None = None
    """Of the requests sent, how many must be answered 202."""
    persisted_per_second: float | None = None
    refused_p99_milliseconds: float | None = None


@dataclass(frozen=True, kw_only=True)
class Afterwards:
    """A second load that follows the first without a pause; ``drain_seconds`` counts from its end."""

    rate: int
    seconds: int


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """One measured situation.

    ``rate`` is requests a second offered in an open loop (None: as fast as the connections go), ``faults`` go to the
    emulators' fault injection, ``slow_clients`` is how many connections beside the load send a byte at a time.
    """

    name: str
    title: str
    rate: int | None
    seconds: int
    connections: int = 256
    counts_from_due_time: bool = True
    """Whether a latency counts from when its request was due. In overload the generator itself cannot keep up, and what
    is promised is how soon a request that did arrive is answered."""
    events_per_request: int = 1
    spec: dict[str, Any] = field(default_factory=dict)
    ingestion_processes: int = 1
    workers: int = 1
    broker_faults: dict[str, float] = field(default_factory=dict)
    store_faults: dict[str, float] = field(default_factory=dict)
    slow_clients: int = 0
    afterwards: Afterwards | None = None
    bounds: Bounds = Bounds()
    runs: int = 3


UNPACKED_CAPACITY = 1000
"""Events a second that ingestion and one worker on two cores keep up with when each is a message of its own."""

SCENARIOS = [
    Scenario(
        name="first-bound",
        title="2,000 single events/s for 60 s",
        rate=2000,
        seconds=60,
        bounds=Bounds(p99_milliseconds=200, drain_seconds=5, accepted_share=1),
        runs=1,
    ),
    Scenario(
        name="sustained",
        title="4,200 single events/s for 120 s",
        rate=4200,
        seconds=120,
        bounds=Bounds(p50_milliseconds=20, p99_milliseconds=200, drain_seconds=10, accepted_share=1),
    ),
    *(
        Scenario(
            name=f"peak-{rate}",
            title=f"{rate:,} single events/s for 30 s, 2 ingestion processes",
            rate=rate,
            seconds=30,
            ingestion_processes=2,
            bounds=Bounds(p99_milliseconds=200, accepted_share=1),
        )
        for rate in range(8000, 12_001, 1000)
    ),
    Scenario(
        name="batch",
        title="100 events a request, as fast as 8 connections go, for 30 s, 2 workers",
        rate=None,
        seconds=30,
        connections=8,
        workers=2,
        events_per_request=100,
        bounds=Bounds(persisted_per_second=25_000),
    ),
    Scenario(
        name="overload",
        title="20,000 single events/s offered for 60 s over 2,300 connections, 300 more than may wait",
        rate=20_000,
        seconds=60,
        connections=2300,
        counts_from_due_time=False,
        bounds=Bounds(refused_p99_milliseconds=100),
    ),
    Scenario(
        name="slow-client",
        title="2,000 single events/s beside 200 clients that send a byte at a time",
        rate=2000,
        seconds=30,
        slow_clients=200,
        bounds=Bounds(p99_milliseconds=200, drain_seconds=10, accepted_share=1),
        runs=1,
    ),
    Scenario(
        name="slow-broker",
        title="2,000 single events/s with a broker that answers 50 ms late",
        rate=2000,
        seconds=30,
        broker_faults={"delayMilliseconds": 50},
        bounds=Bounds(p99_milliseconds=400, drain_seconds=30, accepted_share=1),
        runs=1,
    ),
    Scenario(
        name="slow-store",
        title="2,000 single events/s with a store that answers 200 ms late and throttles every tenth call",
        rate=2000,
        seconds=30,
        store_faults={"delayMilliseconds": 200, "throttleRatio": 0.1, "retryAfterMilliseconds": 50},
        bounds=Bounds(p99_milliseconds=200, drain_seconds=60, accepted_share=1),
        runs=1,
    ),
    Scenario(
        name="unpacked",
        title="400 single events/s, one event a message (eventsPerMessage: 1)",
        rate=400,
        seconds=30,
        spec={"queue": {"eventsPerMessage": 1}},
        runs=1,
    ),
    Scenario(
        name="backlog",
        title=(
            f"{10 * UNPACKED_CAPACITY:,} single events/s offered for 60 s, ten times the capacity with one event a "
            f"message, then {6 * UNPACKED_CAPACITY // 10:,}/s for 120 s"
        ),
        rate=10 * UNPACKED_CAPACITY,
        seconds=60,
        counts_from_due_time=False,
        spec={"queue": {"eventsPerMessage": 1}},
        afterwards=Afterwards(rate=6 * UNPACKED_CAPACITY // 10, seconds=120),
        # Whatever is left then is what came in the last seconds: the backlog is gone.
        bounds=Bounds(drain_seconds=5),
        runs=1,
    ),
    Scenario(name="idle", title="nothing sent for 30 s", rate=0, seconds=30, runs=1),
    *(
        Scenario(
            name=f"scale-{processes}-{workers}",
            title=f"5,000 single events/s, {processes} ingestion process(es), {workers} worker(s)",
            rate=5000,
            seconds=30,
            ingestion_processes=processes,
            workers=workers,
            runs=1,
        )
        for processes, workers in ((1, 1), (2, 1), (1, 2), (2, 2))
    ),
]

BY_NAME = {scenario.name: scenario for scenario in SCENARIOS}
