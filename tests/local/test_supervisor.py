from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
import textwrap
import time
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from tests.processes import has_ended
from tests.waiting import wait_until

from cloudscale.errors import BackendUnavailableError
from cloudscale.local.process import ChildProcess, ProcessPlan, describe_exit
from cloudscale.local.supervisor import State, Supervisor, Timing

if TYPE_CHECKING:
    from pathlib import Path

SOON = timedelta(seconds=15)

READY_UNTIL_TERM = """
import pathlib, signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
pathlib.Path(sys.argv[1]).write_text(str(time.monotonic()))
print("up", flush=True)
while True:
    time.sleep(60)
"""


@dataclass(frozen=True)
class FileProbe:
    """Ready once the process has written its file."""

    path: Path

    async def succeeds(self) -> bool:
        return self.path.exists()


@dataclass(frozen=True)
class Never:
    async def succeeds(self) -> bool:
        return False


def plan(
    directory: Path, name: str = "worker", *, code: str = READY_UNTIL_TERM, stage: int = 0, stop_seconds: float = 10
) -> ProcessPlan:
    flag = directory / f"{name}.flag"
    return ProcessPlan(
        name=name,
        command=(sys.executable, "-c", textwrap.dedent(code), str(flag)),
        ready=FileProbe(flag),
        alive=FileProbe(flag),
        stage=stage,
        stop_seconds=stop_seconds,
    )


@dataclass
class Notices:
    lines: list[str] = field(default_factory=list)

    def __call__(self, text: str) -> None:
        self.lines.append(text)

    async def wait_for(self, text: str) -> None:
        async def said() -> bool:
            return any(text in line for line in self.lines)

        await wait_until(said, within=SOON)


@pytest.fixture
def notices() -> Notices:
    return Notices()


async def test_a_stage_starts_when_the_one_before_is_ready(tmp_path: Path, notices: Notices) -> None:
    plans = [plan(tmp_path, "second", stage=1), plan(tmp_path, "first", stage=0)]

    async with Supervisor(plans, log_directory=tmp_path, notify=notices) as running:
        assert {each.state for each in running.processes.values()} == {State.READY}
        first, second = (float((tmp_path / f"{name}.flag").read_text()) for name in ("first", "second"))
        assert first < second


async def test_a_killed_process_is_started_again_and_the_reason_is_told(tmp_path: Path, notices: Notices) -> None:
    async with Supervisor([plan(tmp_path)], log_directory=tmp_path, notify=notices) as running:
        worker = running.processes["worker"]
        assert worker.child is not None
        killed = worker.child.pid
        os.kill(killed, signal.SIGKILL)
        await notices.wait_for("worker ended (SIGKILL), starting it again in 0.5 s")
        await notices.wait_for("worker is back")
        assert worker.child.pid != killed
        assert worker.restarts == 1


async def test_the_wait_before_a_restart_grows(tmp_path: Path, notices: Notices) -> None:
    crashes = plan(tmp_path, code="import sys, time; time.sleep(0.5); sys.exit(7)")
    # It counts as ready at once, so that its end is a crash and not a failed start.
    (tmp_path / "worker.flag").touch()

    async with Supervisor(
        [crashes], log_directory=tmp_path, notify=notices, timing=Timing(first_back_off_seconds=0.01)
    ):
        for wait in ("0.01", "0.02", "0.04"):
            await notices.wait_for(f"worker ended (exit code 7), starting it again in {wait} s")


async def test_a_process_that_refuses_its_configuration_ends_the_start_with_its_own_words(
    tmp_path: Path, notices: Notices
) -> None:
    unusable = plan(tmp_path, "redis", code="import sys; print('the queue has no name', file=sys.stderr); sys.exit(2)")

    with pytest.raises(BackendUnavailableError, match=r"redis refuses to start: the queue has no name \(log: "):
        async with Supervisor([plan(tmp_path), unusable], log_directory=tmp_path, notify=notices):
            pass
    assert has_ended(int((tmp_path / "worker.pid").read_text()))


async def test_a_process_that_never_gets_ready_ends_the_start(tmp_path: Path, notices: Notices) -> None:
    silent = plan(tmp_path, code="import time; time.sleep(60)")
    timing = Timing(start_seconds=0.5)

    with pytest.raises(BackendUnavailableError, match=r"worker is not ready after .*: it said nothing"):
        async with Supervisor([silent], log_directory=tmp_path, notify=notices, timing=timing):
            pass


async def test_a_program_that_does_not_exist_is_named(tmp_path: Path, notices: Notices) -> None:
    absent = ProcessPlan(name="redis", command=("/nonexistent/redis",), ready=Never(), alive=Never(), stage=0)

    with pytest.raises(BackendUnavailableError, match="redis: cannot start /nonexistent/redis"):
        async with Supervisor([absent], log_directory=tmp_path, notify=notices):
            pass


async def test_a_process_that_hangs_is_ended_and_started_again(tmp_path: Path, notices: Notices) -> None:
    hangs = plan(tmp_path)
    hangs = ProcessPlan(name="worker", command=hangs.command, ready=hangs.ready, alive=Never(), stage=0)

    async with Supervisor([hangs], log_directory=tmp_path, notify=notices, timing=Timing(health_interval_seconds=0.02)):
        await notices.wait_for("worker does not answer any more")
        await notices.wait_for("worker is back")


async def test_a_process_that_outlives_its_end_for_a_while_is_started_again_after_it(
    tmp_path: Path, notices: Notices, monkeypatch: pytest.MonkeyPatch
) -> None:
    kill = ChildProcess.kill

    async def kill_slowly(child: ChildProcess) -> None:
        # As a group of processes that is frozen: what is sent to it has its effect later.
        monkeypatch.undo()
        asyncio.get_running_loop().call_later(0.05, lambda: asyncio.ensure_future(kill(child)))
        raise TimeoutError

    monkeypatch.setattr(ChildProcess, "kill", kill_slowly)
    hangs = plan(tmp_path)
    hangs = ProcessPlan(name="worker", command=hangs.command, ready=hangs.ready, alive=Never(), stage=0)

    async with Supervisor([hangs], log_directory=tmp_path, notify=notices, timing=Timing(health_interval_seconds=0.02)):
        await notices.wait_for("worker is killed and not gone yet")
        await notices.wait_for("worker is back")


async def test_a_process_whose_log_was_removed_is_still_watched_and_the_loss_is_told_once(
    tmp_path: Path, notices: Notices
) -> None:
    async with Supervisor(
        [plan(tmp_path)], log_directory=tmp_path, notify=notices, timing=Timing(health_interval_seconds=0.02)
    ) as running:
        (tmp_path / "worker.log").unlink()
        await notices.wait_for("its log")
        (tmp_path / "worker.flag").unlink()
        await notices.wait_for("worker does not answer any more")
        await notices.wait_for("worker is back")
        assert running.processes["worker"].restarts == 1
    assert sum("its log" in line for line in notices.lines) == 1


async def test_a_process_whose_id_cannot_be_written_down_runs_on(tmp_path: Path, notices: Notices) -> None:
    (tmp_path / "worker.pid").mkdir()
    async with Supervisor([plan(tmp_path)], log_directory=tmp_path, notify=notices) as running:
        assert running.processes["worker"].state is State.READY
    assert any("worker.pid cannot be written" in line for line in notices.lines)


async def test_a_process_starts_again_after_its_logs_were_removed(tmp_path: Path, notices: Notices) -> None:
    logs = tmp_path / "logs"
    async with Supervisor([plan(tmp_path)], log_directory=logs, notify=notices) as running:
        shutil.rmtree(logs)
        child = running.processes["worker"].child
        assert child is not None
        os.kill(child.pid, signal.SIGKILL)
        await notices.wait_for("worker is back")


async def test_a_log_that_cannot_be_made_ends_the_start_with_its_name(tmp_path: Path, notices: Notices) -> None:
    (tmp_path / "worker.log").mkdir()

    with pytest.raises(BackendUnavailableError, match=r"worker: cannot make .*worker\.log \(Is a directory\)"):
        async with Supervisor([plan(tmp_path)], log_directory=tmp_path, notify=notices):
            pass


async def test_a_process_whose_files_cannot_be_made_now_is_started_when_they_can(
    tmp_path: Path, notices: Notices
) -> None:
    logs = tmp_path / "logs"
    async with Supervisor([plan(tmp_path)], log_directory=logs, notify=notices) as running:
        shutil.rmtree(logs)
        logs.touch()
        child = running.processes["worker"].child
        assert child is not None
        os.kill(child.pid, signal.SIGKILL)
        await notices.wait_for("worker cannot be started (worker: cannot make")
        logs.unlink()
        await notices.wait_for("worker is back")


async def test_stopping_asks_first_and_kills_what_does_not_listen(tmp_path: Path, notices: Notices) -> None:
    deaf = READY_UNTIL_TERM.replace("lambda *_: sys.exit(0)", "signal.SIG_IGN")
    plans = [plan(tmp_path, "polite"), plan(tmp_path, "deaf", code=deaf, stop_seconds=0.3)]

    async with Supervisor(plans, log_directory=tmp_path, notify=notices) as running:
        await running.stop(list(running.processes.values()))
        assert {each.state for each in running.processes.values()} == {State.STOPPED}
    assert not any("starting it again" in line for line in notices.lines)


async def test_hurrying_kills_what_takes_its_time(tmp_path: Path, notices: Notices) -> None:
    deaf = plan(tmp_path, code=READY_UNTIL_TERM.replace("lambda *_: sys.exit(0)", "signal.SIG_IGN"), stop_seconds=60)

    async with Supervisor([deaf], log_directory=tmp_path, notify=notices) as running:
        began = time.monotonic()
        stopping = asyncio.create_task(running.stop(list(running.processes.values())))
        running.hurry()
        await stopping
        assert running.hurried
        assert time.monotonic() - began < 30


async def test_leaving_ends_everything_that_still_runs(tmp_path: Path, notices: Notices) -> None:
    async with Supervisor([plan(tmp_path)], log_directory=tmp_path, notify=notices) as running:
        child = running.processes["worker"].child
        assert child is not None
    assert has_ended(child.pid)


async def test_what_a_killed_process_has_started_ends_with_it(tmp_path: Path, notices: Notices) -> None:
    parent = """
    import pathlib, subprocess, sys, time
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    pathlib.Path(sys.argv[1]).write_text(str(child.pid))
    time.sleep(60)
    """
    async with Supervisor([plan(tmp_path, code=parent)], log_directory=tmp_path, notify=notices) as running:

        async def known() -> bool:
            return (tmp_path / "worker.flag").read_text() != ""

        await wait_until(known, within=SOON)
        grandchild = int((tmp_path / "worker.flag").read_text())
        child = running.processes["worker"].child
        assert child is not None
        os.kill(child.pid, signal.SIGKILL)

        async def ended() -> bool:
            return has_ended(grandchild)

        await wait_until(ended, within=SOON)


async def test_a_log_is_cut_when_it_has_grown(tmp_path: Path) -> None:
    child = await ChildProcess.start(plan(tmp_path), log_path=tmp_path / "worker.log")
    try:
        (tmp_path / "worker.log").write_text("a line\n" * 10)
        child.bound_log(largest_bytes=10)
        assert (tmp_path / "worker.log").stat().st_size == 0
        assert (tmp_path / "worker.1.log").read_text() == "a line\n" * 10
        child.bound_log(largest_bytes=10)
        assert (tmp_path / "worker.1.log").exists()
    finally:
        await child.kill()


async def test_scratch_files_do_not_outlive_their_process(tmp_path: Path) -> None:
    scratch = tmp_path / "metrics"
    scratch.mkdir()
    (scratch / "counter_1.db").touch()
    given = plan(tmp_path)
    fresh = ProcessPlan(
        name="worker",
        command=given.command,
        ready=given.ready,
        alive=given.alive,
        stage=0,
        scratch_directory=scratch,
    )

    child = await ChildProcess.start(fresh, log_path=tmp_path / "worker.log")
    await child.kill()

    assert list(scratch.iterdir()) == []


async def test_scratch_files_do_not_outlive_the_run(tmp_path: Path, notices: Notices) -> None:
    scratch = tmp_path / "metrics"
    given = replace(plan(tmp_path), scratch_directory=scratch)
    async with Supervisor([given], log_directory=tmp_path, notify=notices):
        assert scratch.is_dir()
    assert not scratch.exists()


@pytest.mark.parametrize(("code", "words"), [(1, "exit code 1"), (-9, "SIGKILL"), (-200, "signal 200")])
def test_an_exit_code_is_told_in_words(code: int, words: str) -> None:
    assert describe_exit(code) == words
