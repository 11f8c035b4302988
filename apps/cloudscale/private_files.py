"""Everything in a data directory is its owner's alone: events, keys and logs, whatever the modes were before."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, BinaryIO, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

LOCK: Final = "lock"
"""The file whose lock says who has the directory."""
PRIVATE_FILE: Final = 0o600
PRIVATE_DIRECTORY: Final = 0o700
PRIVATE_UMASK: Final = 0o077
"""What a process that writes there must not grant."""


def make_private(directory: Path, *, names: Iterable[str]) -> None:
    """Take away everybody else's rights to ``names`` in the directory, with all below, and to the directory itself.

    A directory that holds other things and no lock, such as a home, is none of ours yet and keeps its own mode. What
    belongs to somebody else and what a link points to is left alone.

    Raises:
        OSError: a mode cannot be changed.
    """
    ours, entries = set(names), {path.name for path in directory.iterdir()}
    if LOCK in entries or entries <= ours:
        _restrict(directory)
    for name in entries & ours:
        for path in _below(directory / name):
            _restrict(path)


def open_private(path: Path, mode: Literal["wb", "ab"]) -> BinaryIO:
    """Open a file to write to, which only its owner may read if this makes it."""
    return open(path, mode, opener=_opener)


def write_private(path: Path, content: bytes) -> None:
    """Write a file that only this user may read; readers see the old content or the new one, never a part.

    Raises:
        OSError: it cannot be written; the error names the file, which is as it was.
    """
    temporary = path.with_name(f".{path.name}.new")
    try:
        with open_private(temporary, "wb") as file:
            file.write(content)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise OSError(error.errno, error.strerror, str(path)) from error
    temporary.replace(path)


def _opener(path: str, flags: int) -> int:
    return os.open(path, flags, PRIVATE_FILE)


def _below(path: Path) -> Iterator[Path]:
    yield path
    if path.is_dir() and not path.is_symlink():
        for entry in path.iterdir():
            yield from _below(entry)


def _restrict(path: Path) -> None:
    try:
        status = path.lstat()
    except FileNotFoundError:
        # Gone since the listing.
        return
    if status.st_uid != os.geteuid() or stat.S_ISLNK(status.st_mode):
        return
    mode = stat.S_IMODE(status.st_mode)
    wanted = PRIVATE_DIRECTORY if stat.S_ISDIR(status.st_mode) else PRIVATE_FILE
    if mode & ~wanted:
        path.chmod(mode & wanted)
