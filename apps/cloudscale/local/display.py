"""Shows a local run: a live table in a terminal, plain lines everywhere else."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from cloudscale.local.readings import describe
from cloudscale.local.supervisor import State

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cloudscale.local.readings import Reading
    from cloudscale.local.supervisor import Supervised

LIVE_INTERVAL_SECONDS = 1.0
PLAIN_INTERVAL_SECONDS = 10.0

_STYLES = {State.READY: "green", State.STARTING: "yellow", State.BACKING_OFF: "red"}


class Display(Protocol):
    """The output of a run, entered while it runs. It gets a new reading every ``interval_seconds``."""

    interval_seconds: float
    is_private: bool
    """Whether only the person who runs it sees it, rather than a log that is kept."""

    def __enter__(self) -> Display: ...

    def __exit__(self, *_: object) -> None: ...

    def notify(self, text: str) -> None:
        """Print a line about the run: a start, a restart, the addresses."""
        ...

    def update(self, processes: Mapping[str, Supervised], reading: Reading | None) -> None:
        """Show the state; ``reading`` is None while the figures cannot be read."""
        ...


class PlainDisplay:
    """Every notice, and the figures every ten seconds in which they change, unless it is ``quiet``."""

    interval_seconds = PLAIN_INTERVAL_SECONDS

    def __init__(self, *, quiet: bool = False, is_private: bool = False) -> None:
        self.is_private = is_private
        self._quiet = quiet
        self._shown = (0, 0)

    def __enter__(self) -> PlainDisplay:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def notify(self, text: str) -> None:
        """Print the text. When the reader has closed the pipe, as ``| head`` does, further lines are dropped."""
        try:
            print(text, flush=True)  # noqa: T201 (this is the command's output)
        except BrokenPipeError:
            # Otherwise what is left in the buffer would fail once more when the interpreter ends.
            with Path(os.devnull).open("wb") as nowhere:
                os.dup2(nowhere.fileno(), sys.stdout.fileno())
        except OSError:
            # A log on a full disk misses a line; the run goes on.
            return

    def update(self, processes: Mapping[str, Supervised], reading: Reading | None) -> None:  # noqa: ARG002 (not shown)
        """Print the reading, unless it says the same as the last one."""
        if self._quiet or reading is None or self._shown == (reading.accepted, reading.in_flight):
            return
        self._shown = reading.accepted, reading.in_flight
        self.notify("  ".join(f"{name} {value}" for name, value in describe(reading).items()))


class LiveDisplay:
    """A table that is redrawn in place, with notices scrolling above it."""

    interval_seconds = LIVE_INTERVAL_SECONDS
    is_private = True

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console()
        self._live = Live(console=self._console, auto_refresh=False, transient=True)

    def __enter__(self) -> LiveDisplay:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def notify(self, text: str) -> None:
        """Print the text above the table."""
        # A terminal that is gone is no reason to leave a restart or the drain undone.
        with contextlib.suppress(OSError):
            # Wrapped by the terminal alone, which keeps an address whole.
            self._console.print(Text(text), soft_wrap=True)

    def update(self, processes: Mapping[str, Supervised], reading: Reading | None) -> None:
        """Redraw the table."""
        with contextlib.suppress(OSError):
            self._live.update(render(processes, reading), refresh=True)


def render(processes: Mapping[str, Supervised], reading: Reading | None) -> Table:
    """Processes on the left, figures on the right."""
    states = Table(box=None, padding=(0, 1))
    states.add_column("process")
    states.add_column("state")
    states.add_column("restarts", justify="right")
    for name, process in processes.items():
        states.add_row(name, f"[{_STYLES.get(process.state, 'dim')}]{process.state}[/]", str(process.restarts or ""))
    values = Table(box=None, padding=(0, 1), show_header=False)
    values.add_column(style="bold")
    values.add_column(justify="right")
    for name, value in describe(reading).items() if reading is not None else [("figures", "waiting for Redis")]:
        values.add_row(name, value)
    both = Table.grid(padding=(0, 4))
    both.add_row(states, values)
    return both
