from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cloudscale.archive.location import archive_path
from cloudscale.errors import InvalidPipelineError
from cloudscale.pipeline import load

BLOB = {"connectionSecretRef": {"name": "blob", "key": "connectionString"}}


def document(archive: Any) -> dict[str, Any]:
    return {
        "apiVersion": "cloudscale.io/v1alpha1",
        "kind": "EventPipeline",
        "metadata": {"name": "shop"},
        "spec": {"archive": archive},
    }


def test_an_archive_is_in_the_data_directory_unless_it_is_elsewhere() -> None:
    archive = load(document({})).spec.archive
    assert archive is not None
    assert (archive_path(archive, Path("/data/pipeline.json")), archive.interval) == (Path("/data/archive"), "5m")


@pytest.mark.parametrize(
    "archive",
    [{"interval": "0s"}, {"interval": "2h"}, {"directory": ""}, {"blob": {}}, {"blob": BLOB, "container": "A"}],
)
def test_what_no_archive_can_be_is_refused(archive: dict[str, Any]) -> None:
    with pytest.raises(InvalidPipelineError, match=r"spec\.archive"):
        load(document(archive))


def test_an_archive_is_in_one_place() -> None:
    archive = load(document({"blob": BLOB})).spec.archive
    assert archive is not None
    assert archive.container == "events-archive"
    with pytest.raises(InvalidPipelineError, match=r"spec\.archive\.blob: directory and blob exclude each other"):
        load(document({"blob": BLOB, "directory": "archive"}))
