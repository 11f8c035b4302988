"""``python -m bench comparison``: CloudScale beside a handler that only parses and beside Benthos, under equal load.

Contenders take turns on a machine that does nothing else, each with backends of its own in an empty directory, and get
the same loads in the same order. What is counted is what the generator saw, and what arrived in the store.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench import benthos_program, load, machine
from bench.comparison_contenders import CONTENDERS
from bench.processes import TICKS_A_SECOND, Watch, microseconds_each
from bench.scenarios import Scenario

if TYPE_CHECKING:
    from bench.comparison_contenders import Contender
    from bench.load import Load

SECONDS = 20
WARM_UP_SECONDS = 5
DRAIN_WAIT_SECONDS = 60
POLL_SECONDS = 0.25
SETTLE_SECONDS = 1
PROCESSOR_TIMES = Path("/proc/stat")
WARM_UP = Scenario(name="warm-up", title="1,000/s", rate=1000, seconds=WARM_UP_SECONDS, connections=16)
LOADS = (
    Scenario(name="open-3000", title="3,000/s, open loop", rate=3000, seconds=SECONDS),
    Scenario(name="open-4200", title="4,200/s, open loop", rate=4200, seconds=SECONDS),
    Scenario(name="closed", title="as fast as 256 connections go", rate=None, seconds=SECONDS),
)
SUBJECT = "cloudscale"


def measure(*, seconds: int) -> dict[str, Any]:
    """Run every load of ``seconds`` against every contender; the figures by load and contender."""
    benthos_program.program()
    load_average = os.getloadavg()[0]
    loads = [replace(each, seconds=seconds) for each in LOADS]
    figures = {name: asyncio.run(_measure_contender(name, loads)) for name in CONTENDERS}
    return {
        "scenario": "comparison",
        "seconds": seconds,
        "loads": [
            {
                "name": each.name,
                "title": each.title,
                "contenders": (by_contender := {name: figures[name][each.name] for name in CONTENDERS}),
                "ratios": ratios(by_contender),
            }
            for each in loads
        ],
        "benthos": benthos_program.version(),
        "loadAverageBefore": load_average,
        "machine": machine.describe(),
    }


async def _measure_contender(name: str, loads: list[Scenario]) -> dict[str, dict[str, Any]]:
    with tempfile.TemporaryDirectory(prefix=f"cloudscale-bench-{name}-", ignore_cleanup_errors=True) as folder:
        bodies = Path(folder) / "bodies"
        load.write_bodies(bodies, events_per_request=1)
        async with CONTENDERS[name](Path(folder)) as contender:
            warm_up = await _measure_load(contender, WARM_UP, bodies)
            if not warm_up["accepted"] or warm_up["persisted"] not in (None, warm_up["accepted"]):
                raise RuntimeError(f"{name} does not take or store what it is sent: {warm_up}")
            found = {}
            for each in loads:
                await asyncio.sleep(SETTLE_SECONDS)
                found[each.name] = await _measure_load(contender, each, bodies)
                print(f"{name}, {each.title}: {found[each.name]}", flush=True)
            return found


async def _measure_load(contender: Contender, scenario: Scenario, bodies: Path) -> dict[str, Any]:
    roles = contender.process_ids()
    before = await contender.store.count() if contender.store is not None else 0
    began, busy = time.monotonic(), _busy_seconds_so_far()
    with Watch(roles) as watch:
        seen = await asyncio.to_thread(load.run, scenario, contender.url, bodies, seconds=scenario.seconds)
        ended = time.monotonic()
        persisted = None
        if contender.store is not None:
            persisted = await _count_drained(contender, expected=before + seen.accepted) - before
        drained = time.monotonic()
    others = _busy_seconds_so_far() - busy - seen.cpu_seconds - sum(watch.cpu_seconds.values())
    return {
        **summary(seen, offered=(scenario.rate or 0) * scenario.seconds),
        "persisted": persisted,
        "drainSeconds": None if persisted is None else round(drained - ended, 1),
        "cpuMicrosecondsPerEvent": per_event(watch.cpu_seconds, seen.accepted),
        "peakMegabytes": {role: round(size) for role, size in watch.peak_megabytes.items()},
        "othersCores": round(others / (drained - began), 2),
        "survived": roles == contender.process_ids(),
    }


async def _count_drained(contender: Contender, *, expected: int) -> int:
    """How many events are stored, once it is ``expected`` or the wait is over."""
    if contender.store is None:
        return 0
    deadline = time.monotonic() + DRAIN_WAIT_SECONDS
    while True:
        stored = await contender.store.count()
        if stored >= expected or time.monotonic() > deadline:
            return stored
        await asyncio.sleep(POLL_SECONDS)


def summary(seen: Load, *, offered: int) -> dict[str, Any]:
    """What the generator saw, of ``offered`` requests that were due.

    A generator whose connections all wait for answers sends fewer than are due, and what was not sent was not accepted.
    """
    return {
        "offered": max(offered, seen.sent),
        "sent": seen.sent,
        "accepted": seen.accepted,
        "acceptedShare": round(seen.accepted / max(1, offered, seen.sent), 4),
        "acceptedPerSecond": round(seen.accepted / seen.seconds, 1),
        "statuses": seen.statuses,
        "errors": seen.errors,
        "latencyMilliseconds": {name: round(value, 2) for name, value in seen.latencies.items()},
        "generatorCpuMicrosecondsPerRequest": microseconds_each(seen.cpu_seconds, seen.sent),
    }


def per_event(cpu_seconds: dict[str, float], events: int) -> dict[str, float]:
    """CPU microseconds an event by process, and their sum as ``total``."""
    everything = {**cpu_seconds, "total": sum(cpu_seconds.values())}
    return {role: microseconds_each(seconds, events) for role, seconds in everything.items()}


def busy_seconds(processor_times: str) -> float:
    """CPU time that all cores together have worked, or that a neighbour on the host took: from ``/proc/stat``."""
    user, nice, system, _idle, _waiting, *interrupts_and_stolen = map(int, processor_times.splitlines()[0].split()[1:9])
    return (user + nice + system + sum(interrupts_and_stolen)) / TICKS_A_SECOND


def ratios(by_contender: dict[str, dict[str, Any]]) -> dict[str, dict[str, float | None]]:
    """CloudScale's figures divided by those of each of the others; None where one of them is missing or zero."""
    subject = by_contender[SUBJECT]
    return {
        name: {
            "acceptedPerSecond": _ratio(subject["acceptedPerSecond"], other["acceptedPerSecond"]),
            "p50": _ratio(subject["latencyMilliseconds"].get("p50"), other["latencyMilliseconds"].get("p50")),
            "p99": _ratio(subject["latencyMilliseconds"].get("p99"), other["latencyMilliseconds"].get("p99")),
            "ingestionCpu": _ratio(_cost(subject, "ingestion"), _cost(other, "ingestion")),
            "workerCpu": _ratio(_cost(subject, "worker"), _cost(other, "worker")),
            "totalCpu": _ratio(_cost(subject, "total"), _cost(other, "total")),
        }
        for name, other in by_contender.items()
        if name != SUBJECT
    }


def _busy_seconds_so_far() -> float:
    return busy_seconds(PROCESSOR_TIMES.read_text())


def _cost(figures: dict[str, Any], role: str) -> float | None:
    cost: float | None = figures["cpuMicrosecondsPerEvent"].get(role)
    return cost


def _ratio(ours: float | None, theirs: float | None) -> float | None:
    return round(ours / theirs, 3) if ours is not None and theirs else None
