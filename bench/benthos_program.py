"""Benthos as a program: compiled once from the Go module proxy and kept beside the repository's files, not among them.

``bench/benthos`` names the version and the components; a change of either makes another program.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
from pathlib import Path

SOURCE = Path(__file__).resolve().parent / "benthos"
PROGRAMS = SOURCE.parent.parent / ".cloudscale-bench" / "bin"
MODULE = "github.com/benthosdev/benthos/v4"
BUILD_SECONDS = 3600


def program() -> Path:
    """The program's path; compiles it if it is not there, which takes some minutes."""
    path = PROGRAMS / f"benthos-{fingerprint()}"
    if not path.exists():
        _build(path)
    return path


def version() -> str:
    """The version of Benthos that ``bench/benthos/go.mod`` asks for."""
    found = re.search(rf"{re.escape(MODULE)} (v\S+)", (SOURCE / "go.mod").read_text())
    if found is None:
        raise RuntimeError(f"{SOURCE / 'go.mod'} does not require {MODULE}")
    return found[1]


def fingerprint() -> str:
    """What distinguishes this version and choice of components from others."""
    digest = hashlib.sha256()
    for name in ("main.go", "go.mod", "go.sum"):
        digest.update((SOURCE / name).read_bytes())
    return digest.hexdigest()[:12]


def _build(path: Path) -> None:
    compiler = shutil.which("go")
    if compiler is None:
        raise SystemExit(
            "go is not on the PATH, and Benthos has to be compiled: `apt-get install golang`, or https://go.dev/dl; "
            "version 1.21 or later"
        )
    print(f"compiling Benthos {version()} into {path}: this takes some minutes, once", flush=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".new")
    # Niced, because it compiles for minutes and should not block the machine.
    command = ["nice", "-n", "19", compiler, "build", "-trimpath", "-ldflags=-s -w", "-o", str(unfinished), "."]
    finished = subprocess.run(
        command, cwd=SOURCE, env={**os.environ, "CGO_ENABLED": "0"}, timeout=BUILD_SECONDS, check=False
    )
    if finished.returncode != 0:
        raise SystemExit(
            f"Benthos could not be compiled (see above): is the Go module proxy reachable, and `{compiler} version` "
            "1.21 or later?"
        )
    unfinished.replace(path)
