"""``python -m bench.telemetry``: what metrics and traces cost ingestion, for each event, and the dashboard its viewers.

The calls are those that ingestion makes for single-event requests in groups of the size that 4,200 requests a second
give, with the metrics in files as under several processes, and with traces of which 1 % is sampled and exported to a
collector that is away. The sum is compared with what ingestion as a whole spends on an event in the last recorded run.
The dashboard is measured on a pipeline with traffic, with and without browsers that listen.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.request import Request, urlopen

from bench import machine
from bench.processes import cpu_seconds

if TYPE_CHECKING:
    from collections.abc import Callable

RESULTS = Path(__file__).resolve().parent / "results"
EVENTS_PER_SECOND = 4200
GROUP_EVENTS = 42
"""What a pace of 10 ms collects at that rate."""

REPEATS = 2000
VIEWERS = 3
WATCHED_SECONDS = 30


def main() -> None:
    """Measure, print and keep the result."""
    if os.environ.get("PROMETHEUS_MULTIPROC_DIR") is None:
        # The metrics' library looks at this when it is imported.
        with tempfile.TemporaryDirectory() as directory:
            environment = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": directory}
            subprocess.run([sys.executable, "-m", "bench.telemetry"], env=environment, check=True)
        return
    whole = _ingestion_microseconds()
    metrics, traces = _metrics_microseconds(), _traces_microseconds()
    del os.environ["PROMETHEUS_MULTIPROC_DIR"]
    result = {
        "scenario": "telemetry",
        "metricsMicrosecondsPerEvent": round(metrics, 2),
        "tracesMicrosecondsPerEvent": round(traces, 2),
        "ingestionMicrosecondsPerEvent": whole,
        "shareOfIngestion": round((metrics + traces) / whole, 4) if whole else None,
        "dashboard": _dashboard_share(),
        "machine": machine.describe(),
    }
    (RESULTS / "telemetry.json").write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))


def _microseconds(work: Callable[[], None]) -> float:
    """CPU time of one call."""
    work()
    began = time.process_time()
    for _ in range(REPEATS):
        work()
    return (time.process_time() - began) / REPEATS * 1e6


def _metrics_microseconds() -> float:
    """Of the metrics that one group of single-event requests moves, for each of its events."""
    from cloudscale.telemetry import metrics  # noqa: PLC0415 - after the environment is set

    counts = {("page_view", f"tenant-{number}"): GROUP_EVENTS // 4 for number in range(4)}
    durations = [0.005 + 0.001 * number for number in range(GROUP_EVENTS)]

    def group() -> None:
        metrics.count_ingested(counts)
        metrics.observe_ingestion("page_view", durations)
        metrics.GROUP_SIZE.observe(GROUP_EVENTS)
        metrics.set_breaker_state("servicebus", "closed")
        for _ in range(GROUP_EVENTS):
            metrics.count_response(202)

    return _microseconds(group) / GROUP_EVENTS


def _traces_microseconds() -> float:
    """Of beginning and ending a request's trace at the default share of 1 %."""
    import logging  # noqa: PLC0415

    from cloudscale import pipeline  # noqa: PLC0415
    from cloudscale.telemetry import tracing  # noqa: PLC0415

    logging.disable(logging.CRITICAL)
    spec = {"telemetry": {"tracing": {"endpoint": "http://127.0.0.1:9"}}}
    head = {"apiVersion": "cloudscale.io/v1alpha1", "kind": "EventPipeline", "metadata": {"name": "bench"}}
    traces = tracing.start(pipeline.load({**head, "spec": spec}), "ingestion")
    if traces is None:
        raise SystemExit("tracing did not start")

    def requests() -> None:
        for _ in range(GROUP_EVENTS):
            trace = traces.begin_request("/api/events", None)
            if trace is not None:
                trace.published(events=1)
                trace.end(status_code=202)

    return _microseconds(requests) / GROUP_EVENTS


def _ingestion_microseconds() -> float | None:
    """What ingestion spent on an event in the last recorded run."""
    for name in ("sustained", "first-bound"):
        with contextlib.suppress(FileNotFoundError):
            recorded = json.loads((RESULTS / f"{name}.json").read_text())
            return float(recorded["median"]["cpuMicrosecondsPerEvent"]["ingestion"])
    return None


def _dashboard_share() -> dict[str, float]:
    """Percent of a core that the dashboard takes under load, without viewers and with some."""
    from tests.browser.traffic import flow  # noqa: PLC0415
    from tests.servers.pipeline import running_pipeline  # noqa: PLC0415

    with tempfile.TemporaryDirectory() as place, running_pipeline(Path(place)) as running:
        seconds = 2 * WATCHED_SECONDS + 10
        traffic = threading.Thread(
            target=lambda: asyncio.run(flow(running.url, events_per_second=EVENTS_PER_SECOND, seconds=seconds))
        )
        traffic.start()
        process = int((Path(place) / "data" / "logs" / "dashboard.pid").read_text())
        time.sleep(5)
        alone = _percent(process)
        viewers = [threading.Thread(target=_watch, args=(running.dashboard_url, running.token)) for _ in range(VIEWERS)]
        for viewer in viewers:
            viewer.start()
        watched = _percent(process)
        traffic.join()
        for viewer in viewers:
            viewer.join()
    return {"withoutViewersPercent": alone, f"with{VIEWERS}ViewersPercent": watched}


def _percent(process: int) -> float:
    before = cpu_seconds([process])
    time.sleep(WATCHED_SECONDS)
    return round(100 * (cpu_seconds([process]) - before) / WATCHED_SECONDS, 2)


def _watch(url: str, token: str) -> None:
    """Listen to the stream as a browser does."""
    until = time.monotonic() + WATCHED_SECONDS + 2
    request = Request(f"{url}/api/stream", headers={"Authorization": f"Bearer {token}"})
    with urlopen(request, timeout=WATCHED_SECONDS) as response:
        while time.monotonic() < until:
            response.readline()


if __name__ == "__main__":
    main()
