"""The process that outlives a run which was killed, and ends what the run has started."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from cloudscale.local.watchdog_program import OCTETS

if TYPE_CHECKING:
    from asyncio.subprocess import Process

_PROGRAM = Path(__file__).with_name("watchdog_program.py")


class Watchdog:
    """The watchdog of this process, which ends everything it watches within ten seconds of this process's end.

    The kernel could signal children by itself (``PR_SET_PDEATHSIG``), but does so once for each thread of a parent that
    is killed, knows no grandchildren, and cannot ask first and kill later.
    """

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._processes: list[Process] = []
        self._keeping: tuple[int, ...] = ()

    def keep(self, *descriptors: int) -> None:
        """Hold descriptors open until everything has ended, such as that of a lock. Call it before the first process.

        Raises:
            OSError: the watchdog cannot be started.
        """
        self._keeping = descriptors
        if self._process is not None:
            self._stop()
        self.ensure_running()

    def ensure_running(self) -> None:
        """Start the watchdog unless it runs; it learns of all processes that run.

        Raises:
            OSError: it cannot be started.
        """
        if self._process is not None and self._process.poll() is None:
            return
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()
        self._process = subprocess.Popen(
            (sys.executable, "-I", "-S", str(_PROGRAM)),
            bufsize=0,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            start_new_session=True,
            pass_fds=self._keeping,
        )
        self._processes = [process for process in self._processes if process.returncode is None]
        for process in self._processes:
            report(self.descriptor, process.pid)

    @property
    def process_id(self) -> int | None:
        """The watchdog's own process."""
        return None if self._process is None else self._process.pid

    @property
    def descriptor(self) -> int:
        """Where a new process reports itself with :func:`report`, before it becomes what it is to be."""
        assert self._process is not None  # noqa: S101 - it was started before
        assert self._process.stdin is not None  # noqa: S101 - it is a pipe
        return self._process.stdin.fileno()

    def remember(self, process: Process) -> None:
        """Have a watchdog that replaces this one watch the process as well, for as long as that runs."""
        self._processes = [process, *(other for other in self._processes if other.returncode is None)]

    def _stop(self) -> None:
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()
            self._process.wait()
            self._process = None


@functools.cache
def watchdog() -> Watchdog:
    """The one watchdog of this process."""
    return Watchdog()


def report(descriptor: int, process_id: int) -> None:
    """Have the watchdog end a process with the run."""
    os.write(descriptor, process_id.to_bytes(OCTETS, sys.byteorder))
