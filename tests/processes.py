"""What tests ask of processes that they did not start themselves."""

from __future__ import annotations

from pathlib import Path


def has_ended(process_id: int) -> bool:
    """Whether a process is gone, or only waits for its parent to notice."""
    try:
        status = Path(f"/proc/{process_id}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True
    return status.rpartition(") ")[2].startswith("Z")
