"""How far a replay has come, kept in a small file so that an interrupted one goes on where it was."""

from __future__ import annotations

import fcntl
import hashlib
from contextlib import contextmanager
from typing import TYPE_CHECKING

import msgspec

from cloudscale.errors import ConfigurationError
from cloudscale.private_files import PRIVATE_DIRECTORY, open_private

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Tally(msgspec.Struct, kw_only=True):
    """Events of a replay by what became of them."""

    accepted: int = 0
    duplicates: int = 0
    """Accepted before, by an earlier replay or by a request whose answer was lost."""
    rejected: int = 0

    @property
    def total(self) -> int:
        """All events that have an answer."""
        return self.accepted + self.duplicates + self.rejected

    def add(self, other: Tally) -> None:
        """Count another tally's events as well."""
        self.accepted += other.accepted
        self.duplicates += other.duplicates
        self.rejected += other.rejected


class Checkpoint(msgspec.Struct, kw_only=True):
    """Every event up to line ``line`` of the file has an answer; ``tally`` counts these.

    ``digest`` is that of these lines: a file that begins otherwise by now is another one.
    """

    line: int = 0
    digest: str = ""
    tally: Tally = msgspec.field(default_factory=Tally)


@contextmanager
def keeping_state(folder: Path) -> Iterator[None]:
    """Within it, files of a replay are read and written in ``folder``.

    Raises:
        ConfigurationError: one of them cannot be.
    """
    try:
        yield
    except OSError as error:
        raise ConfigurationError(
            f"what is known of the replay cannot be kept in {folder} ({error.strerror}): make room, or choose another "
            "folder with --data-dir. Events that are sent again are recognised"
        ) from None


class CheckpointFile:
    """The checkpoint of one file that is replayed to one address."""

    def __init__(self, folder: Path, *, fingerprint: str, url: str) -> None:
        # The standard input has no fingerprint and cannot be gone on with.
        name = hashlib.sha256(f"{fingerprint}\n{url}".encode()).hexdigest()[:16]
        self._path = folder / f"{name}.json" if fingerprint else None

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Within it, no other process replays this file to this address.

        Raises:
            ConfigurationError: one does so now.
        """
        if self._path is None:
            yield
            return
        if not self._path.parent.exists():
            self._path.parent.mkdir(mode=PRIVATE_DIRECTORY, parents=True, exist_ok=True)
        with open_private(self._path.with_suffix(".lock"), "ab") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise ConfigurationError(
                    "another replay of this file to this address is under way: wait for it, or end it and give the "
                    "same command again"
                ) from None
            yield

    def load(self) -> Checkpoint:
        """The checkpoint of an interrupted replay, or a new one; an unreadable one only costs sending again."""
        if self._path is None:
            return Checkpoint()
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=Checkpoint)
        except (FileNotFoundError, msgspec.DecodeError):
            return Checkpoint()

    def save(self, checkpoint: Checkpoint) -> None:
        """Keep the checkpoint; a crash leaves the old one or the new one."""
        if self._path is None:
            return
        self._path.parent.mkdir(mode=PRIVATE_DIRECTORY, parents=True, exist_ok=True)
        temporary = self._path.with_suffix(".new")
        with open_private(temporary, "wb") as file:
            file.write(msgspec.json.encode(checkpoint))
        temporary.replace(self._path)

    def remove(self) -> None:
        """Forget it: the next replay of the same file starts at its first line."""
        if self._path is not None:
            self._path.unlink(missing_ok=True)
