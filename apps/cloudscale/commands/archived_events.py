"""``cloudscale archive export`` and ``replay``: events of the archive, to be sent again."""

from __future__ import annotations

import asyncio
import hashlib
import re
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Annotated, BinaryIO

import msgspec
import typer

from cloudscale.commands import events
from cloudscale.commands.options import DataDirectory
from cloudscale.errors import ConfigurationError
from cloudscale.local.directory import DEFAULT_DATA_DIRECTORY, read_record
from cloudscale.private_files import PRIVATE_DIRECTORY, open_private

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from datetime import datetime

    from cloudscale.archive.export import Selection
    from cloudscale.archive.sent_events import SentEvent
    from cloudscale.local.instance import Instance

_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}\Z").match

Tenant = Annotated[str | None, typer.Option("--tenant", help="Only events of this tenant.", show_default=False)]
Type = Annotated[str | None, typer.Option("--event-type", help="Only events of this type.", show_default=False)]
Since = Annotated[
    str | None, typer.Option("--since", help="Only events whose createdAt is not before this time.", metavar="TIME")
]
Until = Annotated[
    str | None, typer.Option("--until", help="Only events whose createdAt is before this time.", metavar="TIME")
]
Disk = Annotated[
    str,
    typer.Option("--disk", help="How much of an archive in Blob storage may be brought to this machine, such as 20Gi."),
]


def export(
    *,
    data_dir: DataDirectory = DEFAULT_DATA_DIRECTORY,
    tenant: Tenant = None,
    event_type: Type = None,
    since: Since = None,
    until: Until = None,
    disk: Disk = "10Gi",
) -> None:
    """Print archived events as their clients sent them, one JSON object a line, the earliest first.

    The pipeline need not run. `cloudscale events replay` sends such a file.
    """
    from cloudscale.local.instance import find_pipeline

    selection = _selection(tenant, event_type, since=since, until=until)
    asyncio.run(_write(find_pipeline(data_dir), selection, sys.stdout.buffer, disk=disk))
    sys.stdout.buffer.flush()


def replay(  # noqa: PLR0913 (one parameter for each option)
    *,
    data_dir: DataDirectory = DEFAULT_DATA_DIRECTORY,
    tenant: Tenant = None,
    event_type: Type = None,
    since: Since = None,
    until: Until = None,
    url: events.Url = None,
    key: events.ApiKey = None,
    disk: Disk = "10Gi",
) -> None:
    """Send archived events to this pipeline, or with `--url` to another, as their clients sent them.

    Events that are there already are recognised, so a replay can be repeated; an interrupted one goes on where it was
    when the same command is given again. Rejected events are written to a file, and make the exit code 1.
    """
    import tempfile
    from pathlib import Path

    from cloudscale.local.instance import find_pipeline
    from cloudscale.replay.replay import ReplayOptions

    selection = _selection(tenant, event_type, since=since, until=until)
    target = url or read_record(data_dir).ingestion_url
    folder = data_dir / "replays"
    folder.mkdir(mode=PRIVATE_DIRECTORY, parents=True, exist_ok=True)
    # The same events have the same name each time, and so has the file of those that are rejected.
    name = f"archive-{hashlib.sha256(repr(selection).encode()).hexdigest()[:16]}.jsonl"
    with tempfile.TemporaryDirectory(prefix="archive-", dir=folder) as scratch:
        path = Path(scratch) / name
        with open_private(path, "wb") as file:
            asyncio.run(_write(find_pipeline(data_dir), selection, file, disk=disk))
        rejected = events.replay_with_progress(ReplayOptions(path=path, url=target, state_folder=folder, key=key))
    if rejected:
        raise typer.Exit(1)


def _selection(tenant: str | None, event_type: str | None, *, since: str | None, until: str | None) -> Selection:
    from cloudscale.archive.export import Selection

    return Selection(
        tenant_id=tenant, event_type=event_type, since=_moment("--since", since), until=_moment("--until", until)
    )


async def _write(instance: Instance, selection: Selection, file: BinaryIO, *, disk: str) -> None:
    """Write the selected events, and say on stderr how many are not as they were sent."""
    renamed = 0
    async with _found(instance, selection, disk=disk) as found:
        # Nothing else runs on this loop.
        for event in found:
            file.write(msgspec.json.encode(event.document) + b"\n")
            renamed += not event.is_original
    if renamed:
        typer.echo(
            f"{renamed:,} events are not as they were sent: their clients gave them no id or time, or wrote them "
            "otherwise. Where such an event is stored still, it is refused as another event of the same id",
            err=True,
        )


@asynccontextmanager
async def _found(instance: Instance, selection: Selection, *, disk: str) -> AsyncIterator[Iterator[SentEvent]]:
    import tempfile
    from pathlib import Path

    from cloudscale.archive.export import exported
    from cloudscale.archive.reading import bring_all, open_reading
    from cloudscale.units import parse_quantity

    async with open_reading(instance.pipeline, instance.settings) as reading:
        await bring_all(reading, largest_bytes=int(parse_quantity(disk)), tenant_id=selection.tenant_id)
        with tempfile.TemporaryDirectory(prefix="cloudscale-export-") as scratch:
            yield exported(reading.folder, selection, scratch=Path(scratch))


def _moment(option: str, text: str | None) -> datetime | None:
    """The moment that an option gives, which may be a day alone: its beginning in UTC."""
    from cloudscale.events.timestamps import parse_moment

    if text is None:
        return None
    found = parse_moment(f"{text}T00:00:00Z" if _DAY(text) else text)
    if found is None:
        raise ConfigurationError(f"{option} {text!r} is no time: give 2026-11-01 or 2026-11-01T08:00:00Z")
    return found
