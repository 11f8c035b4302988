"""Whatever a run has started is gone ten seconds after the run, however that ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from tests.processes import has_ended
from tests.waiting import wait_until_sync

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SOON = timedelta(seconds=20)
BOUND = timedelta(seconds=10)

SUPERVISOR = """
import asyncio, sys, threading, time
from pathlib import Path
from cloudscale.local.watchdog import watchdog
from cloudscale.local.probes import TcpProbe
from cloudscale.local.process import ProcessPlan
from cloudscale.local.supervisor import Supervisor, Timing

timing = Timing(health_interval_seconds=0.05)
directory, programs = Path(sys.argv[1]), sys.argv[2:]
# A kernel that signals the children of a killed process does so for each of its threads.
for _ in range(6):
    threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()

async def main():
    nowhere = TcpProbe("127.0.0.1", ())
    plans = [
        ProcessPlan(name=f"p{number}", command=(sys.executable, "-c", program), ready=nowhere, alive=nowhere, stage=0)
        for number, program in enumerate(programs)
    ]
    async with Supervisor(plans, log_directory=directory, notify=print, timing=timing) as running:
        print("up", flush=True)
        while True:
            await asyncio.sleep(0.05)
            (directory / "watchdog.new").write_text(str(watchdog().process_id))
            (directory / "watchdog.new").rename(directory / "watchdog")
asyncio.run(main())
"""

COUNTS_SIGTERM = """
import signal, sys, time
count = 0
def handle(*_):
    global count
    count += 1
signal.signal(signal.SIGTERM, handle)
print("up", flush=True)
while not count:
    time.sleep(0.0005)
end = time.monotonic() + 1
while time.monotonic() < end:
    time.sleep(0.0005)
print(count, flush=True)
"""
DEAF_WITH_A_CHILD = """
import signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1000)"])
print(child.pid, flush=True)
time.sleep(1000)
"""


@dataclass(frozen=True)
class Run:
    """A supervisor as a process of its own, with two processes."""

    directory: Path
    process: subprocess.Popen[str]

    def pid(self, name: str) -> int:
        return int((self.directory / f"{name}.pid").read_text())

    def said(self, name: str) -> list[str]:
        return (self.directory / f"{name}.log").read_text().split()

    def watchdog(self) -> int:
        return int((self.directory / "watchdog").read_text())

    def kill(self) -> float:
        """SIGKILL; when that was."""
        self.process.kill()
        self.process.wait()
        return time.monotonic()


@contextmanager
def started(directory: Path, *programs: str) -> Iterator[Run]:
    command = [sys.executable, "-c", SUPERVISOR, str(directory), *programs]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        run = Run(directory, process)
        wait_until_sync(lambda: all(run.said(f"p{number}") for number in range(len(programs))), within=SOON)
        wait_until_sync((directory / "watchdog").exists, within=SOON)
        try:
            yield run
        finally:
            process.kill()


def test_the_processes_of_a_killed_supervisor_are_told_to_end_once(tmp_path: Path) -> None:
    with started(tmp_path, COUNTS_SIGTERM) as run:
        child = run.pid("p0")
        run.kill()
        wait_until_sync(lambda: has_ended(child), within=BOUND)
        assert run.said("p0") == ["up", "1"]
        wait_until_sync(lambda: has_ended(run.watchdog()), within=BOUND)


def test_what_does_not_listen_or_cannot_is_killed_with_all_it_has_started(tmp_path: Path) -> None:
    with started(tmp_path, DEAF_WITH_A_CHILD, COUNTS_SIGTERM) as run:
        deaf, stopped, grandchild = run.pid("p0"), run.pid("p1"), int(run.said("p0")[0])
        os.kill(stopped, signal.SIGSTOP)
        run.kill()
        wait_until_sync(lambda: all(map(has_ended, (deaf, stopped, grandchild))), within=BOUND)


def test_a_server_that_is_killed_together_with_its_supervisor_leaves_nobody(tmp_path: Path) -> None:
    with started(tmp_path, DEAF_WITH_A_CHILD) as run:
        grandchild = int(run.said("p0")[0])
        os.kill(run.process.pid, signal.SIGSTOP)
        os.kill(run.pid("p0"), signal.SIGKILL)
        run.kill()
        wait_until_sync(lambda: has_ended(grandchild), within=BOUND)


def test_a_watchdog_that_is_killed_is_replaced(tmp_path: Path) -> None:
    with started(tmp_path, DEAF_WITH_A_CHILD) as run:
        first = run.watchdog()
        os.kill(first, signal.SIGKILL)
        wait_until_sync(lambda: run.watchdog() != first, within=SOON)
        run.kill()
        wait_until_sync(lambda: has_ended(run.pid("p0")), within=BOUND)


def test_a_watchdog_that_is_told_to_end_stays(tmp_path: Path) -> None:
    with started(tmp_path, DEAF_WITH_A_CHILD) as run:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            os.kill(run.watchdog(), number)
        run.kill()
        wait_until_sync(lambda: has_ended(run.pid("p0")), within=BOUND)


@pytest.mark.fault
@pytest.mark.alone
def test_no_round_under_load_leaves_a_process(tmp_path: Path) -> None:
    with ExitStack() as load:
        for _ in range(2 * (os.cpu_count() or 1)):
            busy = load.enter_context(subprocess.Popen([sys.executable, "-c", "while True: pass"]))
            load.callback(busy.kill)
        for number in range(8):
            directory = tmp_path / str(number)
            directory.mkdir()
            with started(directory, COUNTS_SIGTERM, DEAF_WITH_A_CHILD) as run:
                left = [run.pid("p0"), run.pid("p1"), int(run.said("p1")[0])]
                run.kill()
                wait_until_sync(lambda left=left: all(map(has_ended, left)), within=BOUND)  # type: ignore[misc]
                assert run.said("p0") == ["up", "1"]
