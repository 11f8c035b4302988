"""Whether a pipeline whose resource does not say it takes events of anybody.

A new pipeline takes events of those only who have a key. One that is there already goes on as it was made: a version
of this operator that did not know keys made its ConfigMap without a mode, and its senders have none yet.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Literal

import msgspec

from cloudscale_operator.children import ChildKey
from cloudscale_operator.kinds import CONFIG_MAP
from cloudscale_operator.names import CONFIGURATION_FILE, PIPELINE_CONFIGURATION, object_name

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cloudscale.pipeline import EventPipeline
    from cloudscale_operator.kinds import Manifest
    from cloudscale_operator.reporting import Reporter

Mode = Literal["Required", "Open"]


async def resolve_mode(
    pipeline: EventPipeline, body: Manifest, live: Mapping[ChildKey, Manifest], reporter: Reporter
) -> EventPipeline:
    """The pipeline with the mode that holds for it, with a warning Event if that is Open since before keys were known.

    Args:
        pipeline: as its resource says it.
        body: the resource.
        live: the objects that were made for it.
        reporter: records the Event.
    """
    if was_made_without_keys(pipeline, live):
        text = "anybody may go on sending events, as before keys were known: create tenants and keys, then set "
        await reporter.record_event(body, "Warning", "AccessOpen", text + "spec.access.mode to Required")
    return with_mode(pipeline, live)


def with_mode(pipeline: EventPipeline, live: Mapping[ChildKey, Manifest]) -> EventPipeline:
    """The pipeline with the mode that holds for it; ``live`` has the objects that were made for it."""
    spec = pipeline.spec
    mode = spec.access.mode or _mode_so_far(pipeline, live)
    access = msgspec.structs.replace(spec.access, mode=mode)
    return msgspec.structs.replace(pipeline, spec=msgspec.structs.replace(spec, access=access))


def was_made_without_keys(pipeline: EventPipeline, live: Mapping[ChildKey, Manifest]) -> bool:
    """Whether the objects in place are of a version that did not know keys, and the resource does not say a mode."""
    name = object_name(pipeline.metadata.name, PIPELINE_CONFIGURATION)
    return (
        pipeline.spec.access.mode is None
        and ChildKey(CONFIG_MAP.kind, name) in live
        and _mode_in_place(pipeline, live) is None
    )


def _mode_so_far(pipeline: EventPipeline, live: Mapping[ChildKey, Manifest]) -> Mode:
    in_place = _mode_in_place(pipeline, live)
    if in_place is not None:
        return in_place
    return "Open" if was_made_without_keys(pipeline, live) else "Required"


def _mode_in_place(pipeline: EventPipeline, live: Mapping[ChildKey, Manifest]) -> Mode | None:
    name = object_name(pipeline.metadata.name, PIPELINE_CONFIGURATION)
    configuration = live.get(ChildKey(CONFIG_MAP.kind, name))
    if configuration is None:
        return None
    try:
        mode = json.loads(configuration["data"][CONFIGURATION_FILE])["spec"]["access"]["mode"]
    except (KeyError, TypeError, ValueError):
        return None
    return "Open" if mode == "Open" else None if mode is None else "Required"
