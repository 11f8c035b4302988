"""The progress bar of a replay."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from cloudscale.replay.source import STANDARD_INPUT

if TYPE_CHECKING:
    from pathlib import Path

    from cloudscale.replay.replay import ReplayReport


class ReplayProgress:
    """Shows how much of the file has an answer, and the rate; on stderr, so that stdout holds the summary alone."""

    def __init__(self, path: Path, *, live: bool) -> None:
        total = path.stat().st_size if path != STANDARD_INPUT and path.is_file() else None
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            TextColumn("{task.fields[counts]}"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            disable=not live,
        )
        self._task = self._bar.add_task(path.name, total=total, counts="")
        self._started = time.monotonic()
        self._path = path
        self._line = 0

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def show(self, report: ReplayReport) -> None:
        """Move the bar to where the report is."""
        self._line = report.line
        counts = f"{report.tally.total:,} events, {self._rate(report):,.0f}/s"
        self._bar.update(self._task, completed=report.position, counts=counts)

    def notify(self, text: str) -> None:
        """Print a line above the bar."""
        self._bar.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def how_to_go_on(self) -> str:
        """What to tell somebody who interrupts the replay."""
        if self._path == STANDARD_INPUT or not self._path.is_file():
            return f"interrupted after line {self._line:,}: what cannot be read twice cannot be gone on with"
        return f"interrupted: give the same command again to go on, after line {self._line:,}"

    def summary(self, report: ReplayReport) -> str:
        """What came of the replay, in a line or two."""
        tally, seconds = report.tally, time.monotonic() - self._started
        text = (
            f"{tally.accepted:,} accepted, {tally.duplicates:,} duplicates, {tally.rejected:,} rejected "
            f"in {seconds:.1f} s ({self._rate(report):,.0f}/s)"
        )
        if report.resumed_at:
            text += f", resumed after line {report.resumed_at:,}"
        if report.rejected_path is not None:
            text += f"\nrejected events: {report.rejected_path}"
        return text

    def _rate(self, report: ReplayReport) -> float:
        """Events a second of this session, whatever an earlier one had sent."""
        return (report.tally.total - report.resumed_with) / max(time.monotonic() - self._started, 0.001)
