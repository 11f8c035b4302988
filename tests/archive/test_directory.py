"""A crash at any step of a batch leaves it in the archive once or not at all, and a directory has one writer."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.archive.archiving import PIPELINE, events, files_of, ids_of

from cloudscale.archive.archiver import Archiver
from cloudscale.archive.directory import ArchiveDirectory, read_identity
from cloudscale.archive.manifest import BrokenManifestError, read_batches
from cloudscale.errors import ConfigurationError
from cloudscale.store.feed_range import FeedRange

if TYPE_CHECKING:
    from cloudscale.store.batches import Document

WHOLE = FeedRange("", "FF")
FILES = 2
RENAMES = 1 + (FILES + 1) + 1 + (FILES + 1) + 1
"""The refused documents' file, all files, the manifest, all files once more, the manifest."""


class CrashError(BaseException):
    """The process ends here."""


def feed() -> list[Document]:
    """Events of the change feed, one of which can be no row."""
    strange = events(100, 1)[0] | {"receivedAt": "some day"}
    return [
        event | {"_lsn": n, "_self": "dbs/a/colls/b/docs/c/"}
        for n, event in enumerate([*events(0, 24, tenantId="t1"), strange])
    ]


async def archive(directory: ArchiveDirectory, *, first: int = 25) -> None:
    """Archive all events, the ``first`` ones in a batch of their own."""
    archiver = Archiver(directory, interval=timedelta(hours=1))
    for part in (feed()[:first], feed()[first:]):
        if part:
            archiver.take(WHOLE, part)
            await archiver.keep(WHOLE, at_once=True, is_at_end=True)


@pytest.mark.parametrize("steps", range(RENAMES))
async def test_a_crash_at_any_step_of_a_batch_loses_and_doubles_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, steps: int
) -> None:
    renames = 0

    with ArchiveDirectory(tmp_path, pipeline=PIPELINE) as directory, monkeypatch.context() as patch:
        rename = Path.rename

        def crash(path: Path, target: Path) -> Path:
            nonlocal renames
            renames += 1
            if renames > steps:
                raise CrashError
            return rename(path, target)

        patch.setattr(Path, "rename", crash)
        with pytest.raises(CrashError):
            await archive(directory)
    with ArchiveDirectory(tmp_path, pipeline=PIPELINE) as directory:
        # A batch that ends elsewhere than the one before would leave that one's other files in place.
        await archive(directory, first=1)
    assert ids_of(tmp_path) == [f"e{number}" for number in range(24)]
    batches = list(read_batches(tmp_path))
    assert [batch.rows for batch in batches] in ([24], [1, 23])
    assert [batch.refused.documents for batch in batches if batch.refused is not None] == [1]
    assert sorted(file.path for batch in batches for file in batch.files) == [
        str(file.relative_to(tmp_path)) for file in files_of(tmp_path)
    ]
    assert not [path for path in (tmp_path / "_staging").rglob("*") if path.is_file()]


async def test_a_batch_whose_file_is_gone_before_it_is_in_its_place_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ArchiveDirectory(tmp_path, pipeline=PIPELINE) as directory, monkeypatch.context() as patch:
        patch.setattr(directory, "_finish", lambda *_: None)
        await archive(directory)
    next((tmp_path / "_staging").glob("*/0")).unlink()
    with (
        pytest.raises(BrokenManifestError, match="restore it from a backup"),
        ArchiveDirectory(tmp_path, pipeline=PIPELINE),
    ):
        pass


def test_a_directory_has_one_writer(tmp_path: Path) -> None:
    with (
        ArchiveDirectory(tmp_path, pipeline=PIPELINE),
        pytest.raises(ConfigurationError, match="another process archives to"),
        ArchiveDirectory(tmp_path, pipeline=PIPELINE),
    ):
        pass
    with ArchiveDirectory(tmp_path, pipeline=PIPELINE):
        pass


def test_what_is_no_archive_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with (
        pytest.raises(ConfigurationError, match=r"no archive and holds thesis\.txt"),
        ArchiveDirectory(tmp_path, pipeline=PIPELINE),
    ):
        pass
    with pytest.raises(ConfigurationError, match="nothing was archived there yet"):
        read_identity(tmp_path, pipeline=PIPELINE)


def test_the_archive_of_another_pipeline_is_left_alone(tmp_path: Path) -> None:
    with ArchiveDirectory(tmp_path, pipeline="default/other"):
        pass
    with (
        pytest.raises(ConfigurationError, match="is the archive of default/other"),
        ArchiveDirectory(tmp_path, pipeline=PIPELINE),
    ):
        pass
