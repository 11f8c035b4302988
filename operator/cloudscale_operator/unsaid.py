"""What a resource does not say and what depends on the version that made its pipeline, filled in first of all."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cloudscale_operator.access import resolve_mode
from cloudscale_operator.admittance import resolve_admittance

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cloudscale.pipeline import EventPipeline
    from cloudscale_operator.children import ChildKey
    from cloudscale_operator.kinds import Manifest
    from cloudscale_operator.reporting import Reporter


async def resolve(
    pipeline: EventPipeline, body: Manifest, live: Mapping[ChildKey, Manifest], reporter: Reporter
) -> EventPipeline:
    """The pipeline with its mode of access and with whom it admits; a warning Event says what an upgrade left open."""
    pipeline = await resolve_mode(pipeline, body, live, reporter)
    return await resolve_admittance(pipeline, body, live, reporter)
