"""The data directory of a local run: its lock, and the record by which other commands find the run."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Self

import msgspec

from cloudscale.errors import ConfigurationError
from cloudscale.private_files import LOCK, PRIVATE_DIRECTORY, PRIVATE_FILE, PRIVATE_UMASK, make_private, write_private
from cloudscale.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable

DEFAULT_DATA_DIRECTORY = Path(".cloudscale")
ENDING_SECONDS = 15.0
"""How long a start waits for what a run that was killed has left, which ends within ten seconds."""
_POLL_SECONDS = 0.1
_NAMES = (
    *("broker", "store", "redis", "logs", "metrics", "keys", "replays", "archive", LOCK),
    *("run.json", ".run.json.new", "pipeline.json", ".pipeline.json.new", "run.out"),
)
"""All that a run makes in its directory."""


class RunRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What a run writes down for the other commands: where it listens, and the settings its services were given."""

    pid: int
    ingestion_url: str
    dashboard_url: str | None
    settings: Settings


class DataDirectory:
    """A data directory held by one run: entering takes the lock, leaving releases it.

    The lock is the kernel's (``flock``), so a run that was killed leaves nothing behind that has to be cleaned up.
    Its watchdog shares the lock until everything has ended. The directory and all in it is its owner's alone, and so
    is what this process and those that it starts write meanwhile.

    Raises:
        ConfigurationError: another run holds the directory, or it cannot be written to.
    """

    def __init__(self, path: Path, *, ending_seconds: float = ENDING_SECONDS) -> None:
        self.path = path.absolute()
        self._ending_seconds = ending_seconds
        self._lock: int | None = None
        self._umask = PRIVATE_UMASK

    def __enter__(self) -> Self:
        try:
            self.path.mkdir(mode=PRIVATE_DIRECTORY, parents=True, exist_ok=True)
            make_private(self.path, names=_NAMES)
            lock = os.open(self.path / LOCK, os.O_RDWR | os.O_CREAT, PRIVATE_FILE)
        except OSError as error:
            raise ConfigurationError(
                f"{self.path} cannot hold the data ({error.strerror}): choose a directory with --data-dir"
            ) from None
        try:
            _take(lock, self.path, within_seconds=self._ending_seconds)
            _sign(lock, self.path / LOCK)
        except BaseException:
            os.close(lock)
            raise
        self._lock = lock
        self._umask = os.umask(PRIVATE_UMASK)
        return self

    def __exit__(self, *_: object) -> None:
        self._record_path.unlink(missing_ok=True)
        os.umask(self._umask)
        if self._lock is not None:
            # A watchdog that is about to end has it open as well.
            fcntl.flock(self._lock, fcntl.LOCK_UN)
            os.close(self._lock)
            self._lock = None

    @property
    def lock(self) -> int:
        """The descriptor that holds the lock, for the watchdog, which keeps it if this process is killed."""
        assert self._lock is not None  # noqa: S101 - entered
        return self._lock

    def folder(self, name: str) -> Path:
        """The folder ``name`` in the directory, made if it is not there, readable by this user only."""
        folder = self.path / name
        folder.mkdir(mode=PRIVATE_DIRECTORY, parents=True, exist_ok=True)
        return folder

    def secret(self, name: str, *, make: Callable[[], str]) -> Path:
        """The file that holds the secret ``name``, which is made on the first start and kept."""
        path = self.folder("keys") / name
        if not path.exists():
            write_private(path, make().encode())
        return path

    def write_record(self, record: RunRecord) -> None:
        """Write the record by which other commands find the run."""
        write_private(self._record_path, msgspec.json.format(msgspec.json.encode(record), indent=2))

    @property
    def _record_path(self) -> Path:
        return self.path / "run.json"


def _sign(lock: int, path: Path) -> None:
    """Write into the lock whose it is.

    Raises:
        ConfigurationError: there is no room for it.
    """
    try:
        os.ftruncate(lock, 0)
        os.pwrite(lock, str(os.getpid()).encode(), 0)
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be written ({error.strerror}): make room for the data") from error


def _take(lock: int, path: Path, *, within_seconds: float) -> None:
    """Take the lock, at once or when what a dead run has left has ended.

    Raises:
        ConfigurationError: a run holds it, or what is left does not end.
    """
    deadline = time.monotonic() + within_seconds
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(lock, 32, 0).decode(errors="replace").strip() or "unknown"
        else:
            return
        if not _has_ended(holder):
            raise ConfigurationError(
                f"{path} is in use by process {holder}, which runs a pipeline there: stop that one, or choose "
                "another directory with --data-dir (and other ports with --port and --dashboard-port)"
            )
        if time.monotonic() > deadline:
            raise ConfigurationError(
                f"{path} is in use by processes that process {holder} has left behind: end them, as `fuser "
                f"{path / LOCK}` lists them, or choose another directory with --data-dir"
            )
        time.sleep(_POLL_SECONDS)


def _has_ended(process_id: str) -> bool:
    if not process_id.isdecimal():
        return False
    try:
        os.kill(int(process_id), 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return False


def read_record(path: Path) -> RunRecord:
    """The record of the run that holds the data directory ``path``.

    Raises:
        ConfigurationError: no pipeline runs there, or the directory cannot be read.
    """
    record_path = path / "run.json"
    try:
        content = record_path.read_bytes()
        is_running = bool(content) and _is_held(path / LOCK)
    except FileNotFoundError:
        content, is_running = b"", False
    except OSError as error:
        raise ConfigurationError(
            f"{error.filename} cannot be read ({error.strerror}): point --data-dir to the directory of a "
            "`cloudscale run` of your own"
        ) from None
    if not is_running:
        raise ConfigurationError(
            f"no pipeline runs in {path.absolute()}: start one with `cloudscale run`, point --data-dir to the "
            "directory of one that runs, or set the CLOUDSCALE_… variables of a pipeline elsewhere"
        )
    try:
        return msgspec.json.decode(content, type=RunRecord)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            f"{record_path} cannot be read ({error}): it was written by another version; restart `cloudscale run`"
        ) from None


def _is_held(lock_path: Path) -> bool:
    lock = os.open(lock_path, os.O_RDWR)
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(lock)
    return False
