"""The EventPipelines as the watch last showed them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cloudscale_operator.children import PipelineKey
from cloudscale_operator.kinds import without_managed_fields

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cloudscale_operator.kinds import Manifest


class Pipelines:
    """The live resources, by namespace and name."""

    def __init__(self) -> None:
        self._live: dict[PipelineKey, Manifest] = {}

    def __contains__(self, key: PipelineKey) -> bool:
        return key in self._live

    def __len__(self) -> int:
        return len(self._live)

    def get(self, key: PipelineKey) -> Manifest | None:
        """One pipeline, None if there is no such one."""
        return self._live.get(key)

    def all(self) -> dict[tuple[str, str], Manifest]:
        """What is known at the moment, by namespace and name."""
        return {(key.namespace, key.name): body for key, body in self._live.items()}

    def items(self) -> Iterable[tuple[PipelineKey, Manifest]]:
        """The same, with their keys."""
        return self._live.items()

    def observe(self, pipeline: Manifest, *, deleted: bool = False) -> PipelineKey:
        """Take note of a pipeline as the API server shows it."""
        key = pipeline_key(pipeline)
        if deleted:
            self._live.pop(key, None)
        else:
            self._live[key] = without_managed_fields(pipeline)
        return key

    def renew(self, updated: Manifest) -> None:
        """Take note of an answer, unless the watch has told in the meantime that the pipeline is gone."""
        if pipeline_key(updated) in self._live:
            self.observe(updated)


def pipeline_key(pipeline: Manifest) -> PipelineKey:
    """Namespace and name of a pipeline."""
    return PipelineKey(pipeline["metadata"]["namespace"], pipeline["metadata"]["name"])
