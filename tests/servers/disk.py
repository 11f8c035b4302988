"""Disks that are full when a test wants them to be."""

from __future__ import annotations

import contextlib
import os
import resource
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_FILLER = "filler"


@contextlib.contextmanager
def no_room_for(process_id: int) -> Iterator[None]:
    """Let every write of a process to a file fail for as long as the context lasts; anybody may do that."""
    soft, hard = resource.prlimit(process_id, resource.RLIMIT_FSIZE)
    resource.prlimit(process_id, resource.RLIMIT_FSIZE, (0, hard))
    try:
        yield
    finally:
        resource.prlimit(process_id, resource.RLIMIT_FSIZE, (soft, hard))


@dataclass(frozen=True)
class SmallDisk:
    """A file system in memory with little room."""

    path: Path

    def fill(self) -> None:
        """Leave room for nothing, not even for a line of a log."""
        with (self.path / _FILLER).open("ab", buffering=0) as filler, contextlib.suppress(OSError):
            while filler.write(b"x" * 512):
                pass

    def free(self, megabytes: int) -> None:
        """Make room, and more of it than there was."""
        (self.path / _FILLER).unlink()
        _mount("-o", f"remount,size={megabytes}m", str(self.path))


@contextlib.contextmanager
def small_disk(path: Path, *, megabytes: int) -> Iterator[SmallDisk]:
    """Mount one at ``path``, which takes root."""
    path.mkdir(parents=True)
    _mount("-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(path))
    try:
        yield SmallDisk(path)
    finally:
        # Whatever a test has left running there keeps the files and no mount.
        subprocess.run(["umount", "--lazy", str(path)], check=True)


def can_mount() -> bool:
    """Whether this process may mount a file system."""
    return os.geteuid() == 0 and subprocess.run(["unshare", "--mount", "true"], check=False).returncode == 0


def _mount(*arguments: str) -> None:
    subprocess.run(["mount", *arguments], check=True)
