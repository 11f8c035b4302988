"""The load: `oha`, an open-loop HTTP generator in a process of its own.

With a rate it sends on schedule whatever the server does, and a latency counts from the moment its request was due
(`--latency-correction`), so a stall of the server shows in every request that had to wait (coordinated omission: Gil
Tene, "How NOT to Measure Latency"). Bodies come from a file of prepared lines that carry no event id: ingestion makes
each request an event of its own.
"""

from __future__ import annotations

import json
import random
import resource
import shutil
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from bench.scenarios import Scenario

USERS = 10_000
TENANTS = 4
LINES = 20_000
BATCH_LINES = 400
SEED = 20261121


@dataclass(frozen=True)
class Load:
    """What the generator saw. Latencies are milliseconds."""

    sent: int
    statuses: dict[str, int]
    errors: dict[str, int]
    seconds: float
    latencies: dict[str, float]
    refused_p99: float | None
    cpu_seconds: float

    @property
    def accepted(self) -> int:
        """Requests answered 202."""
        return self.statuses.get("202", 0)


def program() -> str:
    """The generator's path, or an error that says how to get it."""
    found = shutil.which("oha")
    if found is None:
        raise SystemExit("oha is not on the PATH: `cargo install oha --locked`, or your system's package")
    return found


def write_bodies(path: Path, *, events_per_request: int) -> None:
    """Write request bodies, one a line, of about 400 bytes an event: page views, actions and purchases."""
    generator = random.Random(SEED)
    lines = LINES if events_per_request == 1 else BATCH_LINES
    with path.open("w") as file:
        for _ in range(lines):
            events = [_event(generator) for _ in range(events_per_request)]
            json.dump(events[0] if events_per_request == 1 else events, file, separators=(",", ":"))
            file.write("\n")


def run(scenario: Scenario, url: str, bodies: Path, *, seconds: int) -> Load:
    """Send the scenario's load for ``seconds`` and wait for the answers."""
    path = "/api/v1/events" if scenario.events_per_request == 1 else "/api/v1/events/batch"
    command = [program(), "--no-tui", "--output-format", "json", "--stats-success-breakdown", "--disable-compression"]
    command += ["-m", "POST", "-T", "application/json", "-Z", str(bodies), "-z", f"{seconds}s", "-t", "30s"]
    command += ["-c", str(scenario.connections), "--wait-ongoing-requests-after-deadline"]
    if scenario.rate is not None:
        command += ["-q", str(scenario.rate)]
        if scenario.counts_from_due_time:
            command.append("--latency-correction")
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    finished = subprocess.run([*command, url + path], capture_output=True, text=True, timeout=seconds + 120, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return _read(json.loads(finished.stdout), after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def _read(report: dict[str, Any], cpu_seconds: float) -> Load:
    statuses = {str(status): int(count) for status, count in report["statusCodeDistribution"].items()}
    percentiles = report.get("latencyPercentilesSuccessful") or report["latencyPercentiles"]
    refused = report.get("latencyPercentilesNotSuccessful") or {}
    errors = {str(kind): int(count) for kind, count in report["errorDistribution"].items()}
    return Load(
        sent=sum(statuses.values()) + sum(errors.values()),
        statuses=statuses,
        errors=errors,
        seconds=float(report["summary"]["total"]),
        latencies={name: value * 1000 for name, value in percentiles.items() if value is not None},
        refused_p99=refused["p99"] * 1000 if refused.get("p99") is not None else None,
        cpu_seconds=cpu_seconds,
    )


def _event(generator: random.Random) -> dict[str, Any]:
    user = generator.randrange(USERS)
    event: dict[str, Any] = {
        "tenantId": f"tenant-{user % TENANTS}",
        "userId": f"user-{user:05d}",
        "metadata": {"session": f"{generator.getrandbits(64):016x}", "agent": "Mozilla/5.0 (X11; Linux x86_64)"},
    }
    kind = generator.random()
    if kind < 0.7:
        event |= {"eventType": "page_view", "url": f"https://shop.example/products/{generator.randrange(10_000)}"}
    elif kind < 0.95:
        event |= {"eventType": "user_action", "actionName": "search", "properties": {"words": "red shoes size 44"}}
    else:
        amount = round(generator.uniform(1, 300), 2)
        event |= {"eventType": "purchase", "actionName": "purchase", "amount": amount, "currency": "EUR"}
    event["context"] = f"{generator.getrandbits(512):0128x}"
    return event
