"""The files that give keys, as they are now: a change holds without a restart, as it does in a mounted Secret."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, NamedTuple

import structlog

from cloudscale.access.given_keys import LARGEST_FILE_BYTES, NOTHING, GivenKeys, read
from cloudscale.errors import ConfigurationError
from cloudscale.tasks import cancel_and_wait, start_task

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path
    from typing import Self

    from cloudscale.access.records import Key, Reference, Tenant

log = structlog.get_logger(__name__)

CHECK_SECONDS = 1.0
"""Between two looks at the files."""

Version = tuple[int, int, int] | None
"""What changes with a file; None while there is none."""


class _File(NamedTuple):
    version: Version
    given: GivenKeys


class GivenKeyFiles:
    """The keys of some files, as an async context manager that keeps them up to date.

    A file that goes takes its keys with it. One that is there and cannot be read, or is no list of keys, leaves those
    in force that it gave before.

    Args:
        paths: the files; where two give the same key, the first counts.
        check_seconds: time between two looks.
    """

    def __init__(self, paths: Iterable[Path], *, check_seconds: float = CHECK_SECONDS) -> None:
        self._files = dict.fromkeys(paths, _File(None, NOTHING))
        self._check_seconds = check_seconds
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        if self._files:
            await asyncio.to_thread(self._look)
            for path, file in self._files.items():
                if file.version is None:
                    log.warning("there is no file of given keys, so it gives none", path=str(path))
            self._task = start_task(self._watch(), name="given-keys")
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._task is not None:
            await cancel_and_wait(self._task)

    def find(self, reference: Reference) -> Tenant | Key | None:
        """The first that a file gives of this id, None if none does."""
        for file in self._files.values():
            found = file.given.find(reference)
            if found is not None:
                return found
        return None

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(self._check_seconds)
            await asyncio.to_thread(self._look)

    def _look(self) -> None:
        for path, file in self._files.items():
            version = _version(path)
            if version != file.version:
                self._files[path] = _File(version, _read(path, former=file.given))


def _version(path: Path) -> Version:
    """A Secret's update replaces a symbolic link, whose target is what counts."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def _read(path: Path, *, former: GivenKeys) -> GivenKeys:
    """What the file gives now, and a line in the log for all that it does not."""
    try:
        with path.open("rb") as file:
            given = read(file.read(LARGEST_FILE_BYTES + 1))
    except FileNotFoundError:
        log.warning("a file of given keys is gone, and its keys with it", path=str(path), keys=len(former.keys))
        return NOTHING
    except (OSError, ConfigurationError) as error:
        log.warning("given keys cannot be read: those from before stay in force", path=str(path), error=str(error))
        return former
    for problem in given.problems:
        log.warning("a given key is left out", path=str(path), error=problem)
    log.info("given keys are in force", path=str(path), keys=len(given.keys), left_out=len(given.problems))
    return given
