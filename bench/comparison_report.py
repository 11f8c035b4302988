"""Writes the recorded comparison as tables into ``bench/README.md``, between its own two markers."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

BEGIN, END = "<!-- comparison -->", "<!-- end of comparison -->"
NAMES = {"bare": "bare handler", "cloudscale": "CloudScale", "benthos": "Benthos"}
PROCESSES = ("ingestion", "worker", "broker", "store", "redis", "dashboard", "total")
RATIOS = {
    "acceptedPerSecond": "accepted/s",
    "p50": "p50",
    "p99": "p99",
    "ingestionCpu": "CPU of ingestion",
    "workerCpu": "CPU of the worker",
    "totalCpu": "CPU of all",
}


def write(result: Path, readme: Path) -> None:
    """Rewrite the comparison's part of ``readme``, if a result is recorded."""
    if result.exists():
        readme.write_text(replaced(readme.read_text(), tables(json.loads(result.read_text()))))


def replaced(text: str, part: str) -> str:
    """``text`` with ``part`` between the markers.

    Raises:
        ValueError: the text lacks a marker.
    """
    before, _, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not end:
        raise ValueError(f"bench/README.md lacks {BEGIN} or, after it, {END}: put both where the tables belong")
    return f"{before}{BEGIN}\n\n{part}\n\n{END}{after}"


def tables(result: dict[str, Any]) -> str:
    """What was seen, what it cost, the ratios, and where it was recorded."""
    return "\n\n".join([_seen(result), _costs(result), _ratios(result), _recorded(result)])


def _seen(result: dict[str, Any]) -> str:
    head = (
        "load",
        "",
        "offered",
        "202",
        "accepted/s",
        "p50 ms",
        "p99 ms",
        "persisted",
        "drained s",
        "generator µs",
        "others' cores",
    )
    rows = (
        (
            load["title"],
            NAMES[name],
            f"{figures['offered']:,}",
            f"{figures['acceptedShare']:.1%}",
            f"{figures['acceptedPerSecond']:,.0f}",
            _figure(figures["latencyMilliseconds"].get("p50")),
            _figure(figures["latencyMilliseconds"].get("p99")),
            _persisted(figures),
            _figure(figures["drainSeconds"]),
            _figure(figures["generatorCpuMicrosecondsPerRequest"]),
            f"{figures['othersCores']:.2f}",
        )
        for load, name, figures in _each(result)
    )
    return _table(head, rows)


def _costs(result: dict[str, Any]) -> str:
    rows = (
        (
            load["title"],
            NAMES[name],
            *(_figure(figures["cpuMicrosecondsPerEvent"].get(role)) for role in PROCESSES),
            f"{sum(figures['peakMegabytes'].values()):,}",
        )
        for load, name, figures in _each(result)
    )
    return _table(("CPU µs an event", "", *PROCESSES, "peak MB together"), rows)


def _ratios(result: dict[str, Any]) -> str:
    rows = (
        (load["title"], f"CloudScale : {NAMES[name]}", *(_ratio(ratios[key]) for key in RATIOS))
        for load in result["loads"]
        for name, ratios in load["ratios"].items()
    )
    return _table(("ratio", "", *RATIOS.values()), rows)


def _recorded(result: dict[str, Any]) -> str:
    machine = result["machine"]
    return (
        f"Each load for {result['seconds']} s, with Benthos {result['benthos']}, on {machine['cores']} cores of "
        f"{machine['cpu']}, {machine['memoryGigabytes']} GB, Linux {machine['kernel']}, Python {machine['python']}, "
        f"{machine['generator']}, revision {machine['revision']}; load average before the first run: "
        f"{result['loadAverageBefore']:.1f}."
    )


def _each(result: dict[str, Any]) -> Iterator[tuple[dict[str, Any], str, dict[str, Any]]]:
    for load in result["loads"]:
        for name, figures in load["contenders"].items():
            yield load, name, figures


def _persisted(figures: dict[str, Any]) -> str:
    """How many are stored, and of how many if that is another number."""
    if figures["persisted"] is None:
        return "-"
    share = "" if figures["persisted"] == figures["accepted"] else f" of {figures['accepted']:,}"
    return f"{figures['persisted']:,}{share}"


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:,.1f}"


def _ratio(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    lines = [" | ".join(cells) for cells in (head, *rows)]
    columns = lines[0].count(" | ") + 1
    return "\n".join(f"| {line} |" for line in lines).replace("\n", f"\n{'|---' * columns}|\n", 1)
