"""What the archive says of itself: for each batch of events, its place in the change feed and its files."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

import msgspec

from cloudscale.errors import BackendError
from cloudscale.store.feed_range import FeedRange

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MANIFEST: Final = "_manifest"
PENDING: Final = ".pending"
COMMITTED: Final = ".json"
REFUSED: Final = "_refused"


class ArchivedFile(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """One file. ``path`` is relative to the archive; the events are of one tenant and hour of ``receivedAt``."""

    path: str
    tenant_id: str
    hour: str
    """As ``yyyy-MM-ddTHH``."""
    rows: int
    bytes: int
    sha256: str
    first_received_at: str
    last_received_at: str


class RefusedFile(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """Documents that could be no rows, one a line with the reason."""

    path: str
    documents: int
    bytes: int
    sha256: str


class Batch(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """The events of one range of the change feed after the number ``after``, up to ``last``."""

    container: str
    range_id: str
    after: int
    last: int
    written_at: str
    files: list[ArchivedFile]
    refused: RefusedFile | None = None
    merged: bool = False
    """The range is put together of others and not read to its end, so what follows may be archived as theirs."""

    @property
    def name(self) -> str:
        """What the names of its files begin with: the range and the position, so a batch has one name for ever."""
        return f"{self.container}-{self.range_id}-{self.after + 1:015d}"

    @property
    def paths(self) -> list[str]:
        """The paths of all its files, always in the same order."""
        return [*(file.path for file in self.files), *([] if self.refused is None else [self.refused.path])]

    @property
    def rows(self) -> int:
        """Events in all files."""
        return sum(file.rows for file in self.files)


class BrokenManifestError(BackendError):
    """A manifest cannot be read, or names a file that is not there."""


def container_id(resource_id: str) -> str:
    """A short name for a container of the store, of the id that the store itself has given it."""
    return hashlib.blake2b(resource_id.encode(), digest_size=4).hexdigest()


def manifest_path(directory: Path, batch: Batch, *, suffix: str = COMMITTED) -> Path:
    """Where the manifest of a batch is."""
    folder = directory / MANIFEST / batch.container / batch.range_id
    return folder / f"{batch.after + 1:015d}{suffix}"


def read_batch(path: Path) -> Batch:
    """Read one manifest.

    Raises:
        BrokenManifestError: it is none.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=Batch)
    except (msgspec.DecodeError, UnicodeDecodeError, OSError) as error:
        raise BrokenManifestError(f"{path} cannot be read ({error}): restore it from a backup") from None


def read_batches(directory: Path) -> Iterator[Batch]:
    """All batches of an archive, range by range in their order."""
    for path in sorted((directory / MANIFEST).glob(f"*/*/*{COMMITTED}")):
        yield read_batch(path)


class Positions:
    """How far each range of each container is archived."""

    def __init__(self, last: dict[tuple[str, FeedRange], Batch]) -> None:
        self._last = last

    @classmethod
    def of(cls, directory: Path) -> Positions:
        """Read the last manifest of each range."""
        last: dict[tuple[str, FeedRange], Batch] = {}
        for folder in (directory / MANIFEST).glob("*/*"):
            names = sorted(path.name for path in folder.iterdir() if path.name.endswith(COMMITTED))
            if names:
                batch = read_batch(folder / names[-1])
                last[batch.container, FeedRange.of(batch.range_id)] = batch
        return cls(last)

    def position(self, container: str, of: FeedRange) -> int:
        """The last number that is archived of a range: its own, or of the range that it is a part of; -1 for none."""
        batch = self._last.get((container, of))
        if batch is not None:
            return batch.last
        return max(
            (batch.last for (name, one), batch in self._last.items() if name == container and one.contains(of)),
            default=-1,
        )

    def is_merged(self, container: str, of: FeedRange) -> bool:
        """Whether a range may hold events that were archived as those of ranges that it is put together of."""
        batch = self._last.get((container, of))
        if batch is not None:
            return batch.merged
        ranges = [one for name, one in self._last if name == container]
        return not any(one.contains(of) for one in ranges) and any(one.overlaps(of) for one in ranges)

    def advance(self, batch: Batch) -> None:
        """Note a batch that is archived now."""
        self._last[batch.container, FeedRange.of(batch.range_id)] = batch
