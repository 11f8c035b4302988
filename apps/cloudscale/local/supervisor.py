"""Keeps the processes of a local run alive: started in order, watched, restarted with back-off, stopped in reverse."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import time
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Self

from cloudscale.errors import BackendUnavailableError
from cloudscale.local.process import ChildProcess, NoRoomError, ProcessPlan, describe_exit
from cloudscale.local.watchdog import watchdog
from cloudscale.tasks import cancel_and_wait, start_task

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

HEALTH_FAILURES = 6
"""Probes in a row that fail before a process counts as hung: half a minute, as overload alone must not end it."""
_READY_INTERVAL_SECONDS = 0.1
_CONFIGURATION_ERROR = 2


@dataclass(frozen=True, kw_only=True)
class Timing:
    """How long a supervisor waits for what."""

    start_seconds: float = 60.0
    """A process that is not ready by then fails the start of the run."""
    first_back_off_seconds: float = 0.5
    longest_back_off_seconds: float = 30.0
    stable_seconds: float = 60.0
    """A process that ran this long starts again without the back-off of its earlier failures."""
    health_interval_seconds: float = 5.0


class State(StrEnum):
    """Where a supervised process is in its life."""

    WAITING = "waiting"
    STARTING = "starting"
    READY = "ready"
    BACKING_OFF = "backing off"
    STOPPED = "stopped"


@dataclass
class Supervised:
    """One process as the supervisor sees it; a restart changes ``child`` and nothing else."""

    plan: ProcessPlan
    state: State = State.WAITING
    restarts: int = 0
    child: ChildProcess | None = None
    task: asyncio.Task[None] | None = None
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    stopping: bool = False


class Supervisor:
    """Runs processes until it is left. ``notify`` gets a line for people about each thing that happens to them.

    The output of ``NAME`` goes to ``NAME.log`` in the log directory, its process id to ``NAME.pid`` beside it.

    Entering starts all processes and returns when they are ready. Leaving kills those that :meth:`stop` has not
    stopped.

    Raises:
        BackendUnavailableError: a process did not become ready; all others have been ended.
    """

    def __init__(
        self,
        plans: Iterable[ProcessPlan],
        *,
        log_directory: Path,
        notify: Callable[[str], None],
        timing: Timing = Timing(),
    ) -> None:
        self.processes = {plan.name: Supervised(plan) for plan in plans}
        self._log_directory = log_directory
        self._notify = notify
        self._timing = timing
        self.started = False
        self._hurry = asyncio.Event()

    async def __aenter__(self) -> Self:
        try:
            for stage in self.stages():
                await self._start(stage)
        except BaseException:
            await self._kill_all()
            raise
        self.started = True
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._kill_all()

    def stages(self) -> list[list[Supervised]]:
        """The processes by stage, in the order of the start."""
        numbers = sorted({process.plan.stage for process in self.processes.values()})
        return [[process for process in self.processes.values() if process.plan.stage == number] for number in numbers]

    def hurry(self) -> None:
        """Make every :meth:`stop`, also one that waits, kill instead of asking."""
        self._hurry.set()

    @property
    def hurried(self) -> bool:
        """Whether :meth:`hurry` was called."""
        return self._hurry.is_set()

    async def wait(self) -> None:
        """Return never, as long as every process can be kept running.

        Raises:
            BackendUnavailableError: a program cannot be executed any more.
        """
        tasks = [process.task for process in self.processes.values() if process.task is not None]
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            await task

    async def _start(self, stage: Sequence[Supervised]) -> None:
        for process in stage:
            process.task = asyncio.create_task(self._keep_running(process), name=f"supervise {process.plan.name}")
        for process in stage:
            if process.task is not None:
                await self._wait_until_ready(process, process.task)

    async def _wait_until_ready(self, process: Supervised, task: asyncio.Task[None]) -> None:
        ready = asyncio.create_task(process.ready.wait())
        try:
            await asyncio.wait((ready, task), timeout=self._timing.start_seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            ready.cancel()
        if task.done():
            await task
        if not process.ready.is_set():
            seconds = self._timing.start_seconds
            raise BackendUnavailableError(
                f"{process.plan.name} is not ready after {seconds:.0f} s: {self._last_words(process)}"
            )

    async def _keep_running(self, process: Supervised) -> None:
        delay = self._timing.first_back_off_seconds
        was_ready = False
        while True:
            started = time.monotonic()
            code: int | None = None
            try:
                code = await self._run_once(process)
            except NoRoomError as error:
                if not was_ready:
                    raise
                end = f"cannot be started ({error})"
            else:
                end = f"ended ({describe_exit(code)})"
            was_ready = was_ready or process.ready.is_set()
            process.ready.clear()
            if process.stopping:
                break
            if code == _CONFIGURATION_ERROR and not was_ready:
                raise BackendUnavailableError(f"{process.plan.name} refuses to start: {self._last_words(process)}")
            if time.monotonic() - started >= self._timing.stable_seconds:
                delay = self._timing.first_back_off_seconds
            process.state = State.BACKING_OFF
            process.restarts += 1
            self._notify(f"{process.plan.name} {end}, starting it again in {delay:g} s")
            await asyncio.sleep(delay)
            delay = min(delay * 2, self._timing.longest_back_off_seconds)
        process.state = State.STOPPED

    async def _run_once(self, process: Supervised) -> int:
        """Start the process and wait for its end; the exit code."""
        process.state = State.STARTING
        log_path = self._log_directory / f"{process.plan.name}.log"
        process.child = child = await ChildProcess.start(process.plan, log_path=log_path)
        watch = start_task(self._watch(process, child), name=f"watch {process.plan.name}")
        try:
            self._write_down(child, log_path.with_suffix(".pid"))
            return await child.wait()
        finally:
            await cancel_and_wait(watch)

    async def _watch(self, process: Supervised, child: ChildProcess) -> None:
        ready = False
        while not ready:
            await asyncio.sleep(_READY_INTERVAL_SECONDS)
            ready = await process.plan.ready.succeeds()
        process.state = State.READY
        process.ready.set()
        if process.restarts:
            self._notify(f"{process.plan.name} is back")
        failures = 0
        is_bounded = True
        while failures < HEALTH_FAILURES:
            await asyncio.sleep(self._timing.health_interval_seconds)
            failures = 0 if await process.plan.alive.succeeds() else failures + 1
            is_bounded = self._bound_log(child, was_bounded=is_bounded)
            with contextlib.suppress(OSError):
                watchdog().ensure_running()
        self._notify(f"{process.plan.name} does not answer any more, ending it")
        try:
            await child.kill()
        except TimeoutError:
            # Something holds it, such as a frozen group; who waits for its end starts it again after that.
            self._notify(f"{process.plan.name} is killed and not gone yet, waiting for it")

    def _bound_log(self, child: ChildProcess, *, was_bounded: bool) -> bool:
        """Keep the log short; whether that worked. A failure is reported once and does not stop the supervision."""
        try:
            child.bound_log()
        except OSError as error:
            if was_bounded:
                self._notify(
                    f"{child.plan.name} runs on, but its log {child.log_path} cannot be kept short "
                    f"({error.strerror}): make room, or restart the run if the file was removed"
                )
            return False
        return True

    def _write_down(self, child: ChildProcess, path: Path) -> None:
        try:
            path.write_text(f"{child.pid}\n")
        except OSError as error:
            self._notify(f"{child.plan.name} runs, but {path} cannot be written ({error.strerror}): make room")

    async def stop(self, stage: Sequence[Supervised]) -> None:
        """Stop the processes of one stage together, each within its plan's ``stop_seconds``."""
        for process in stage:
            process.stopping = True
        asking = asyncio.create_task(self._ask_to_end(stage))
        hurry = asyncio.create_task(self._hurry.wait())
        try:
            await asyncio.wait((asking, hurry), return_when=asyncio.FIRST_COMPLETED)
        finally:
            asking.cancel()
            hurry.cancel()
            await asyncio.gather(asking, hurry, return_exceptions=True)
            await self._end(stage)

    async def _ask_to_end(self, stage: Sequence[Supervised]) -> None:
        await asyncio.gather(*(process.child.stop() for process in stage if process.child is not None))

    async def _kill_all(self) -> None:
        for stage in reversed(self.stages()):
            await self._end(stage)

    async def _end(self, stage: Sequence[Supervised]) -> None:
        """End what is still there: processes, and the tasks that would start them again."""
        for process in stage:
            process.stopping = True
            if process.task is None:
                continue
            process.task.cancel()
            await asyncio.gather(process.task, return_exceptions=True)
            if process.child is not None:
                await process.child.kill()
            if process.plan.scratch_directory is not None:
                shutil.rmtree(process.plan.scratch_directory, ignore_errors=True)
            process.state = State.STOPPED

    def _last_words(self, process: Supervised) -> str:
        if process.child is None:
            return "it could not be started"
        return f"{process.child.last_line() or 'it said nothing'} (log: {process.child.log_path})"
