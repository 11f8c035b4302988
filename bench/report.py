"""Writes the recorded results as tables and a plot into ``bench/README.md``, between its two markers."""

from __future__ import annotations

import json
from math import log10
from pathlib import Path
from typing import Any

from bench.scenarios import SCENARIOS

README = Path(__file__).resolve().parent / "README.md"
BEGIN, END = "<!-- results -->", "<!-- end of results -->"
PROCESSES = ("ingestion", "worker", "broker", "store", "redis", "dashboard", "cluster")
ON_KIND = "sustained-kind"
"""The scenario that `python -m bench.kind` measures."""


def write(results: Path) -> None:
    """Rewrite the results' part of the README and the plot beside it."""
    names = [*(scenario.name for scenario in SCENARIOS), ON_KIND]
    recorded = [json.loads(path.read_text()) for name in names if (path := results / f"{name}.json").exists()]
    loaded = [each for each in recorded if "sent" in each["median"]]
    parts = [_latencies(loaded), _peak(loaded), _costs(loaded), _idle(recorded), _machines(recorded)]
    text = "\n\n".join(filter(None, parts))
    before, _, rest = README.read_text().partition(BEGIN)
    after = rest.partition(END)[2]
    README.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}")
    (README.parent / "latency.svg").write_text(_plot(loaded))


def _latencies(recorded: list[dict[str, Any]]) -> str:
    rows = [
        "| scenario | offered | sent | 202 | accepted/s | p50 ms | p99 ms | drained s | lost | bounds |",
        "|---" * 10 + "|",
    ]
    for each in recorded:
        median = each["median"]
        latency = median["latencyMilliseconds"]
        spread = sorted(run["latencyMilliseconds"].get("p99", 0) for run in each["runs"])
        broken = sorted({failure for run in each["runs"] for failure in run["failures"]})
        p99 = f"{latency.get('p99', 0):.1f}"
        if len(spread) > 1:
            p99 += f" ({spread[0]:.1f} to {spread[-1]:.1f})"
        rows.append(
            f"| {each['scenario']}: {each['title']} | {median['offered']:,.0f} | {median['sent']:,.0f} "
            f"| {median['accepted']:,.0f} | {median['acceptedPerSecond']:,.0f} | {latency.get('p50', 0):.1f} | {p99} "
            f"| {median['drainSeconds']:.1f} | {median['lost']:.0f} | {'; '.join(broken) or 'kept'} |"
        )
    return "\n".join(rows)


def _peak(recorded: list[dict[str, Any]]) -> str:
    """The highest rate that kept its bounds, and what overload leaves of it."""
    kept = [
        each["median"]["acceptedPerSecond"]
        for each in recorded
        if each["scenario"].startswith("peak-") and not any(run["failures"] for run in each["runs"])
    ]
    if not kept:
        return ""
    peak = max(kept)
    sentences = [f"Peak: {peak:,.0f} events/s is the highest recorded rate that kept its bounds."]
    for each in recorded:
        if each["scenario"] == "overload":
            median = each["median"]
            goodput = median["acceptedPerSecond"]
            sentences.append(
                f"Overload: {goodput:,.0f} events/s were still accepted, {goodput / peak:.0%} of it (target: 60 %); "
                f"refusals were answered within {median['refusedP99Milliseconds'] or 0:.0f} ms (p99)."
            )
    return " ".join(sentences)


def _costs(recorded: list[dict[str, Any]]) -> str:
    head = "| CPU µs an event | " + " | ".join(PROCESSES) + " | generator | peak MB together |"
    rows = [head, "|---" * (len(PROCESSES) + 3) + "|"]
    for each in recorded:
        median = each["median"]
        costs = [_sum_of(median["cpuMicrosecondsPerEvent"], role) for role in PROCESSES]
        figures = " | ".join(f"{cost:.1f}" for cost in costs)
        generator = median["generatorCpuMicrosecondsPerRequest"]
        memory = sum(median["peakMegabytes"].values())
        rows.append(f"| {each['scenario']} | {figures} | {generator:.1f} | {memory:.0f} |")
    return "\n".join(rows)


def _idle(recorded: list[dict[str, Any]]) -> str:
    rows = []
    for each in recorded:
        median = each["median"]
        if "cpuPercentTotal" in median:
            parts = ", ".join(f"{role} {size:.0f}" for role, size in median["peakMegabytes"].items())
            rows.append(
                f"Idle: {median['cpuPercentTotal']:.1f} % of a core, {median['megabytesTotal']:.0f} MB ({parts})."
            )
    return "\n".join(rows)


def _machines(recorded: list[dict[str, Any]]) -> str:
    lines = {f"- {', '.join(names)}: {facts}" for facts, names in _grouped(recorded).items()}
    return "\n".join(["Recorded on:", "", *sorted(lines)])


def _grouped(recorded: list[dict[str, Any]]) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = {}
    for each in recorded:
        machine = each["machine"]
        facts = (
            f"{machine['cores']} cores of {machine['cpu']}, {machine['memoryGigabytes']} GB, "
            f"Linux {machine['kernel']}, Python {machine['python']}, {machine['generator']}, "
            f"revision {machine['revision']}"
        )
        groups.setdefault(facts, []).append(each["scenario"])
    return groups


def _sum_of(costs: dict[str, float], role: str) -> float:
    return sum(cost for name, cost in costs.items() if name == role or name.startswith(f"{role}-"))


def _plot(recorded: list[dict[str, Any]]) -> str:
    """Bars of the p50 and p99 latency of each scenario, on a logarithmic scale from 1 ms to 10 s."""
    width, row, left = 760, 26, 190
    scale = (width - left - 60) / 4
    box = f"0 0 {width} {row * len(recorded) + 40}"
    style = 'font-family="sans-serif" font-size="12" fill="#888"'
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{box}" {style}>']
    for power in range(5):
        x = left + power * scale
        height = row * len(recorded) + 8
        parts.append(f'<line x1="{x:.0f}" y1="4" x2="{x:.0f}" y2="{height}" stroke="#8884"/>')
        parts.append(f'<text x="{x:.0f}" y="{height + 18}" text-anchor="middle">{10**power:,} ms</text>')
    for index, each in enumerate(recorded):
        latency = each["median"]["latencyMilliseconds"]
        y = index * row + 8
        parts.append(f'<text x="{left - 8}" y="{y + 13}" text-anchor="end">{each["scenario"]}</text>')
        for name, color, offset in (("p99", "#e07b39", 0), ("p50", "#3b82c4", 4)):
            length = max(2.0, log10(max(1.0, latency.get(name, 1.0))) * scale)
            place = f'x="{left}" y="{y + offset}" width="{length:.0f}" height="{16 - 2 * offset}"'
            parts.append(f'<rect {place} rx="2" fill="{color}"/>')
    return "\n".join([*parts, "</svg>", ""])
