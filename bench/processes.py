"""CPU time and memory of processes, read from /proc."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")
INTERVAL_SECONDS = 1.0
MICROSECONDS = 1_000_000


def cpu_seconds(process_ids: list[int]) -> float:
    """User and system time of the processes so far; one that is gone counts as nothing."""
    total = 0
    for process_id in process_ids:
        try:
            fields = Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        total += int(fields[11]) + int(fields[12])
    return total / TICKS_A_SECOND


def microseconds_each(seconds: float, count: int) -> float:
    """CPU time for each of ``count`` things, in microseconds."""
    return round(seconds / max(1, count) * MICROSECONDS, 1)


def resident_megabytes(process_ids: list[int]) -> float:
    """Memory that the processes hold; a page that several share counts to each in part (``Pss``)."""
    total = 0
    for process_id in process_ids:
        try:
            rollup = Path(f"/proc/{process_id}/smaps_rollup").read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue
        total += next((int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:")), 0)
    return total / 1024


@dataclass
class Watch:
    """Samples memory once a second between entering and leaving; ``cpu_seconds`` and ``peak_megabytes`` by role."""

    roles: dict[str, list[int]]
    cpu_seconds: dict[str, float] = field(default_factory=dict)
    peak_megabytes: dict[str, float] = field(default_factory=dict)

    def __enter__(self) -> Self:
        self._before = {role: cpu_seconds(ids) for role, ids in self.roles.items()}
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._sample, name="memory-watch")
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join()
        self.cpu_seconds = {role: cpu_seconds(ids) - self._before[role] for role, ids in self.roles.items()}

    def _sample(self) -> None:
        while True:
            for role, ids in self.roles.items():
                self.peak_megabytes[role] = max(self.peak_megabytes.get(role, 0.0), resident_megabytes(ids))
            if self._stopping.wait(INTERVAL_SECONDS):
                return
