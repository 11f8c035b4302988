"""One process of a local run: how it is started, where its output goes, how it is stopped."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from cloudscale.errors import BackendUnavailableError
from cloudscale.local.watchdog import report, watchdog
from cloudscale.private_files import PRIVATE_UMASK

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from cloudscale.local.probes import Probe


class NoRoomError(BackendUnavailableError):
    """A process cannot have the files that it needs to start; there may be room later."""


LOG_BYTES = 10 * 1024 * 1024
_KILL_SECONDS = 10.0
_LAST_LINE_BYTES = 4096


@dataclass(frozen=True, kw_only=True)
class ProcessPlan:
    """How to run one process.

    ``stage`` orders the start: a stage begins when every process of the stages before is ready, and ends before they
    do. A process gets ``stop_seconds`` to finish by itself. ``niceness`` is how far it may give way where others
    compete with it for a processor; it starts without, because a start has a deadline.
    """

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    ready: Probe
    alive: Probe
    stage: int
    stop_seconds: float = 30.0
    niceness: int = 0
    scratch_directory: Path | None = None
    """Emptied before every start: files that mean nothing to the next process."""


def _before_exec(guard: int) -> None:
    # By the process itself, so that none runs of which the watchdog does not know.
    report(guard, os.getpid())
    os.umask(PRIVATE_UMASK)


class ChildProcess:
    """A started process with all the processes it starts itself, and its log file.

    The process leads a session of its own, so a Ctrl-C in the terminal reaches the supervisor alone, which then stops
    the processes in their order. If the supervisor dies without having done that, its watchdog ends them.
    """

    def __init__(self, plan: ProcessPlan, process: asyncio.subprocess.Process, *, log_path: Path) -> None:
        self.plan = plan
        self.log_path = log_path
        self._process = process

    @classmethod
    async def start(cls, plan: ProcessPlan, *, log_path: Path) -> ChildProcess:
        """Start the process.

        Raises:
            BackendUnavailableError: the program cannot be executed.
            NoRoomError: its files cannot be made.
        """
        try:
            if plan.scratch_directory is not None:
                shutil.rmtree(plan.scratch_directory, ignore_errors=True)
                plan.scratch_directory.mkdir(mode=0o700, parents=True)
            log_path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(log_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        except OSError as error:
            raise NoRoomError(
                f"{plan.name}: cannot make {error.filename} ({error.strerror}): make room, or mend its permissions"
            ) from None
        try:
            watchdog().ensure_running()
            process = await asyncio.create_subprocess_exec(
                *plan.command,
                env={**os.environ, **plan.environment},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=descriptor,
                stderr=descriptor,
                start_new_session=True,
                preexec_fn=partial(_before_exec, watchdog().descriptor),
            )
        except OSError as error:
            raise BackendUnavailableError(f"{plan.name}: cannot start {plan.command[0]} ({error.strerror})") from None
        finally:
            os.close(descriptor)
        watchdog().remember(process)
        return cls(plan, process, log_path=log_path)

    @property
    def pid(self) -> int:
        """Process id, which is the id of its process group as well."""
        return self._process.pid

    async def wait(self) -> int:
        """Wait until the process has ended and end what it left behind; the exit code, negative for a signal."""
        code = await self._process.wait()
        # A server's own worker processes would live on, holding its port, if only their parent was killed.
        self._signal(signal.SIGKILL)
        return code

    async def stop(self) -> None:
        """SIGTERM, and SIGKILL if it has not ended after the plan's ``stop_seconds``."""
        with contextlib.suppress(ProcessLookupError):
            self._process.terminate()
        try:
            async with asyncio.timeout(self.plan.stop_seconds):
                await self._process.wait()
        except TimeoutError:
            await self.kill()

    async def kill(self) -> None:
        """SIGKILL to the process and all it started."""
        self._signal(signal.SIGKILL)
        async with asyncio.timeout(_KILL_SECONDS):
            await self._process.wait()

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, number)

    def last_line(self) -> str:
        """The last line of the log: the reason, if the process has ended by itself."""
        try:
            with self.log_path.open("rb") as log:
                log.seek(max(0, log.seek(0, os.SEEK_END) - _LAST_LINE_BYTES))
                lines = log.read().decode(errors="replace").split("\n")
        except FileNotFoundError:
            return ""
        return next((line.strip() for line in reversed(lines) if line.strip()), "")

    def bound_log(self, *, largest_bytes: int = LOG_BYTES) -> None:
        """Keep the log and one older part of it, each of about ``largest_bytes``.

        The process holds the file open in append mode, so the file is copied and cut instead of renamed. A line
        written between the two is lost: it is a log.

        Raises:
            OSError: the log is gone or cannot be copied.
        """
        if self.log_path.stat().st_size > largest_bytes:
            shutil.copyfile(self.log_path, self.log_path.with_suffix(".1.log"))
            os.truncate(self.log_path, 0)


def describe_exit(code: int) -> str:
    """An exit code in words: ``exit code 2`` or ``SIGKILL``."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"
