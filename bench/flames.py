"""``python -m bench profile SERVICE``: where a service's CPU time goes under the sustained load.

`py-spy` samples the process from outside, so the pipeline is the one that is measured otherwise. What runs without the
interpreter's lock, such as Granian's HTTP in Rust, is not in it. Flame graph viewers read the folded stacks that it
leaves behind (Brendan Gregg, "The Flame Graph").
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from bench import load
from bench.pipeline import running
from bench.scenarios import BY_NAME

if TYPE_CHECKING:
    from bench.pipeline import RunningPipeline

SERVICES = ("ingestion", "worker", "broker", "store", "dashboard")
SCENARIO = BY_NAME["sustained"]
SECONDS = 20
WARM_UP_SECONDS = 5
SAMPLES_A_SECOND = 250
SHOWN = 25
START_SHARE = 0.98
FINISH_SECONDS = 60

Stack = tuple[str, ...]


def profile(service: str, *, seconds: int, rate: int, folder: Path) -> str:
    """Sample ``service`` for ``seconds``, keep the folded stacks in ``folder``, and say which functions take time."""
    sampler = program()
    folder.mkdir(parents=True, exist_ok=True)
    output = folder / f"{service}.folded"
    scenario = replace(SCENARIO, rate=rate)
    with tempfile.TemporaryDirectory(prefix="cloudscale-profile-", ignore_cleanup_errors=True) as directory:
        bodies = Path(directory) / "bodies"
        load.write_bodies(bodies, events_per_request=1)
        with running(scenario, Path(directory)) as pipeline:
            load.run(scenario, pipeline.url, bodies, seconds=WARM_UP_SECONDS)
            loading = threading.Thread(
                target=load.run, args=(scenario, pipeline.url, bodies), kwargs={"seconds": seconds}, name="load"
            )
            loading.start()
            try:
                _sample(sampler, _process_id(pipeline, service), seconds=seconds, output=output)
            finally:
                loading.join()
    stacks = parse_folded(output.read_text())
    return f"{describe(stacks)}\n\nfolded stacks: {output}"


def program() -> str:
    """The sampler's path, or an error that says how to get it."""
    beside = Path(sys.executable).with_name("py-spy")
    found = str(beside) if beside.exists() else shutil.which("py-spy")
    if found is None:
        raise SystemExit("py-spy is not installed: `.venv-dev/bin/pip install py-spy`")
    return found


def parse_folded(text: str) -> Counter[Stack]:
    """How many samples saw each stack, outermost function first.

    Lines of one function count as that function, and so do the processes and threads that it was seen in.
    """
    stacks: Counter[Stack] = Counter()
    for line in text.splitlines():
        frames, _, count = line.rpartition(" ")
        stacks[tuple(_function(frame) for frame in frames.split(";") if not _is_process(frame))] += int(count)
    return stacks


def self_shares(stacks: Counter[Stack]) -> Counter[str]:
    """Samples in which each function was the innermost one."""
    found: Counter[str] = Counter()
    for stack, count in stacks.items():
        if stack:
            found[stack[-1]] += count
    return found


def cumulative_shares(stacks: Counter[Stack]) -> Counter[str]:
    """Samples in which each function was anywhere in the stack; recursion counts once."""
    found: Counter[str] = Counter()
    for stack, count in stacks.items():
        for function in set(stack):
            found[function] += count
    return found


def describe(stacks: Counter[Stack]) -> str:
    """The functions with the most time of their own, and those with the most time below them, in percent."""
    total = stacks.total()
    # What nearly all samples have in common is how the process was started.
    below = Counter({name: count for name, count in cumulative_shares(stacks).items() if count < START_SHARE * total})
    return "\n\n".join((_ranking("own time", self_shares(stacks), total), _ranking("with all they call", below, total)))


def _ranking(title: str, shares: Counter[str], total: int) -> str:
    rows = (f"{100 * count / total:6.1f} %  {function}" for function, count in shares.most_common(SHOWN))
    return "\n".join([f"{title} ({total:,} samples)", *rows])


def _sample(sampler: str, process_id: int, *, seconds: int, output: Path) -> None:
    # A thread that waits in C looks busy from outside unless only the holder of the interpreter's lock is counted.
    command = [sampler, "record", "--format", "raw", "--subprocesses", "--gil", "--rate", str(SAMPLES_A_SECOND)]
    command += ["--duration", str(seconds), "--pid", str(process_id), "--output", str(output)]
    finished = subprocess.run(command, capture_output=True, text=True, timeout=seconds + FINISH_SECONDS, check=False)
    if finished.returncode != 0:
        raise SystemExit(f"py-spy could not sample process {process_id} (it may need root): {finished.stderr}")


def _process_id(pipeline: RunningPipeline, service: str) -> int:
    return pipeline.process_ids()[service][0]


def _is_process(frame: str) -> bool:
    """Whether a frame is py-spy's name of a process or a thread."""
    return frame.startswith(("process ", "thread "))


def _function(frame: str) -> str:
    """A frame without its line number: ``name (file:12)`` becomes ``name (file)``."""
    name, colon, line = frame.rpartition(":")
    return f"{name})" if colon and line.rstrip(")").isdigit() else frame
