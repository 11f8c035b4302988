"""What tests ask of processes that they did not start themselves."""

from __future__ import annotations

import signal
from pathlib import Path


def has_ended(process_id: int) -> bool:
    """Whether a process is gone, or only waits for its parent to notice."""
    try:
        status = Path(f"/proc/{process_id}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True
    return status.rpartition(") ")[2].startswith("Z")


def handles_sigterm(process_id: int) -> bool:
    """Whether a process has a handler for SIGTERM by now."""
    status = Path(f"/proc/{process_id}/status").read_text()
    caught = int(next(line.split()[1] for line in status.splitlines() if line.startswith("SigCgt")), 16)
    return bool(caught & 1 << (signal.SIGTERM - 1))


def children_of(process_id: int) -> list[int]:
    """The processes that one has started, by any of its threads."""
    threads = Path(f"/proc/{process_id}/task").glob("*/children")
    return [int(child) for children in threads for child in children.read_text().split()]
