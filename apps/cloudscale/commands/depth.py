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
    from cloudscale.ledger.backlog import Backlog


def depth(*, data_dir: DataDirectory = DEFAULT_DATA_DIRECTORY, as_json: AsJson = False) -> None:
    """Print how many events are queued, how old the oldest is, and what is dead-lettered and scheduled."""
    found = asyncio.run(_read(find_instance(data_dir)))
    if as_json:
        typer.echo(msgspec.json.encode(found))
    else:
        typer.echo(_described(found))


def _described(backlog: Backlog) -> str:
    about = "about " if backlog.estimated else ""
    oldest = "" if backlog.oldest_seconds is None else f", the oldest {backlog.oldest_seconds:,.0f} s old"
    return (
        f"queued {about}{backlog.events:,} events in {backlog.messages:,} messages{oldest}  "
        f"dead letters {backlog.dead_letters:,}  scheduled {backlog.scheduled:,}"
    )


async def _read(instance: Instance) -> Backlog:
    from cloudscale.cache.connection import open_redis
    from cloudscale.cache.keys import keys_of
    from cloudscale.ledger.backlog import BacklogReader
    from cloudscale.queue.administration import QueueAdministration

    pipeline, settings = instance.pipeline, instance.settings
    queue = pipeline.spec.queue
    async with (
        QueueAdministration(queue, settings) as administration,
        open_redis(settings.redis_url) as redis,
    ):
        reader = BacklogReader(
            administration.depth, redis, keys=keys_of(pipeline), events_per_message=queue.events_per_message
        )
        return await reader.read()
