"""``cloudscale depth``."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec
import typer

from cloudscale.commands.options import AsJson, DataDirectory
from cloudscale.local.directory import DEFAULT_DATA_DIRECTORY
from cloudscale.local.instance import Instance, find_instance

if TYPE_CHECKING:
    from cloudscale.queue.administration import QueueDepth


def depth(*, data_dir: DataDirectory = DEFAULT_DATA_DIRECTORY, as_json: AsJson = False) -> None:
    """Print how many messages are queued, dead-lettered and scheduled. A message holds up to 100 events."""
    found = asyncio.run(_read(find_instance(data_dir)))
    if as_json:
        typer.echo(msgspec.json.encode(found))
    else:
        typer.echo(f"queued {found.active:,}  dead letters {found.dead_letters:,}  scheduled {found.scheduled:,}")


async def _read(instance: Instance) -> QueueDepth:
    from cloudscale.queue.administration import QueueAdministration

    async with QueueAdministration(instance.pipeline.spec.queue, instance.settings) as administration:
        return await administration.depth()
