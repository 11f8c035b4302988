"""Nobody in a cluster writes an archive, and a pipeline that asks for one is told so."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.operator.harness import Harness


async def test_a_pipeline_with_an_archive_is_refused_with_the_reason(harness: Harness) -> None:
    harness.server.add_pipeline(spec={"archive": {}})
    await harness.visit()
    assert harness.condition("Ready")["reason"] == "ArchiveNotSupported"
    assert "archives are written by `cloudscale run` only until now" in harness.condition("Ready")["message"]
    assert harness.status["phase"] == "Failed"
    assert not [path for path in harness.server.objects if "/example-" in path]


async def test_without_the_archive_the_same_pipeline_is_made(harness: Harness) -> None:
    harness.server.add_pipeline(spec={"archive": {}})
    await harness.visit()
    body = harness.server.pipeline()
    assert body is not None
    del body["spec"]["archive"]
    await harness.visit()
    assert [path for path in harness.server.objects if "/example-" in path]
