"""The process that outlives a run which was killed, and ends what the run has started."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from cloudscale.local.guardian_program import OCTETS

if TYPE_CHECKING:
    from asyncio.subprocess import Process

_PROGRAM = Path(__file__).with_name("guardian_program.py")


class Guardian:
    """The guardian of this process, which ends everything it watches within ten seconds of this process's end.

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
            OSError: the guardian cannot be started.
        """
        self._keeping = descriptors
        if self._process is not None:
            self._stop()
        self.look_after()

    def look_after(self) -> None:
        """Start the guardian unless it runs; it learns of all processes that run.

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
        """The guardian's own process."""
        return None if self._process is None else self._process.pid

    @property
    def descriptor(self) -> int:
        """Where a new process reports itself with :func:`report`, before it becomes what it is to be."""
        assert self._process is not None  # noqa: S101 - looked after before
        assert self._process.stdin is not None  # noqa: S101 - it is a pipe
        return self._process.stdin.fileno()

    def remember(self, process: Process) -> None:
        """Tell a guardian that takes the place of this one of the process, for as long as that runs."""
        self._processes = [process, *(other for other in self._processes if other.returncode is None)]

    def _stop(self) -> None:
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()
            self._process.wait()
            self._process = None


@functools.cache
def guardian() -> Guardian:
    """The one guardian of this process."""
    return Guardian()


def report(descriptor: int, process_id: int) -> None:
    """Put a process under guard."""
    os.write(descriptor, process_id.to_bytes(OCTETS, sys.byteorder))
