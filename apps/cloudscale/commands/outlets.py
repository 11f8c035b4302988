"""``cloudscale outlets``: how the outlets stand, and what somebody decides about them."""

from __future__ import annotations

import asyncio
import sys
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from cloudscale.commands.options import AsJson, DataDirectory
from cloudscale.commands.plain_text import plain
from cloudscale.errors import ConfigurationError
from cloudscale.local.directory import DEFAULT_DATA_DIRECTORY

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
    from pathlib import Path

    from cloudscale.local.instance import Instance
    from cloudscale.outlets.parked import ParkedEvent
    from cloudscale.outlets.state import State
    from cloudscale.outlets.status import OutletStatus
    from cloudscale.store.events import EventStore

    Act = Callable[[EventStore, ParkedEvent], Awaitable[None]]

_PLAIN_WIDTH = 160
_CHANGED_EVENTS = 1000
"""Parked events that a command changes in one go."""

SOON = "the process that sends sees it within seconds"

app = typer.Typer(
    help="Look at the outlets, pause and rewind them, and decide about what they have parked.", no_args_is_help=True
)

Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of the outlet, as in the resource.")]
Ids = Annotated[list[str] | None, typer.Argument(metavar="[EVENT_ID]...", help="Ids of events.", show_default=False)]
All = Annotated[bool, typer.Option("--all", help="All that are parked.")]


@app.command("list")
def list_outlets(*, data_dir: DataDirectory = DEFAULT_DATA_DIRECTORY, as_json: AsJson = False) -> None:
    """Print for each outlet whether it sends, how far it is behind the store, and how many events it has parked."""
    from cloudscale.local.instance import find_instance

    found = asyncio.run(_statuses(find_instance(data_dir)))
    typer.echo(msgspec.json.encode(found) if as_json else _table_of(found))


@app.command("pause")
def pause(name: Name, *, data_dir: DataDirectory = DEFAULT_DATA_DIRECTORY) -> None:
    """Let an outlet send nothing until it is resumed. Its place is kept."""
    asyncio.run(_change(data_dir, name, lambda state: msgspec.structs.replace(state, paused=True)))
    typer.echo(f"outlet {name} is paused: {SOON}")


@app.command("resume")
def resume(name: Name, *, data_dir: DataDirectory = DEFAULT_DATA_DIRECTORY) -> None:
    """Let an outlet go on that is paused, that a receiver has ended with 410, or that waits to try again."""
    asyncio.run(
        _change(data_dir, name, lambda state: msgspec.structs.replace(state, paused=False, ended_at=None, failing={}))
    )
    typer.echo(f"outlet {name} goes on: {SOON}")


@app.command("rewind")
def rewind(
    name: Name,
    *,
    to: Annotated[
        str, typer.Option(help="From when on stored events are sent again, such as 2026-11-01 or 2026-11-01T12:00:00Z.")
    ],
    data_dir: DataDirectory = DEFAULT_DATA_DIRECTORY,
) -> None:
    """Have an outlet send again what was stored since a time, as far as the store still has it."""
    moment = _moment(to)
    asyncio.run(_change(data_dir, name, lambda state: msgspec.structs.replace(state, rewind_to=moment)))
    typer.echo(f"outlet {name} goes on with what was stored since {moment.isoformat()}: {SOON}")


@app.command("parked")
def show_parked(
    name: Name,
    *,
    limit: Annotated[int, typer.Option(help="How many are shown at the most.", min=1, max=1000)] = 100,
    data_dir: DataDirectory = DEFAULT_DATA_DIRECTORY,
    as_json: AsJson = False,
) -> None:
    """Print the events that an outlet has put aside, those that were parked first before others."""
    found = asyncio.run(_find(data_dir, name, limit=limit))
    typer.echo(msgspec.json.encode(found) if as_json else _table_of_parked(found))


@app.command("replay")
def replay(
    name: Name, event_ids: Ids = None, *, everything: All = False, data_dir: DataDirectory = DEFAULT_DATA_DIRECTORY
) -> None:
    """Send parked events once more, each by itself. What is not taken stays parked."""
    from cloudscale.outlets.parked import ParkedEvents

    async def want(store: EventStore, event: ParkedEvent) -> None:
        await ParkedEvents(store, name).put([msgspec.structs.replace(event, is_wanted=True)])

    count = asyncio.run(_decide(data_dir, name, _chosen(event_ids, everything=everything), want))
    typer.echo(f"{count:,} events are sent again: {SOON}")


@app.command("discard")
def discard(
    name: Name, event_ids: Ids = None, *, everything: All = False, data_dir: DataDirectory = DEFAULT_DATA_DIRECTORY
) -> None:
    """Delete parked events, which the receiver then never gets from this outlet."""
    from cloudscale.outlets.parked import ParkedEvents

    async def remove(store: EventStore, event: ParkedEvent) -> None:
        await ParkedEvents(store, name).remove(event)

    count = asyncio.run(_decide(data_dir, name, _chosen(event_ids, everything=everything), remove))
    typer.echo(f"{count:,} events are discarded")


@asynccontextmanager
async def _opened(instance: Instance) -> AsyncIterator[EventStore]:
    from cloudscale.store.events import EventStore

    async with EventStore(instance.pipeline.spec.store, instance.settings) as store:
        await store.ensure(followers=True, outlets=True)
        yield store


def _found(data_dir: Path, name: str) -> Instance:
    """The pipeline of an outlet.

    Raises:
        ConfigurationError: it has no such outlet.
    """
    from cloudscale.local.instance import find_instance

    instance = find_instance(data_dir)
    names = [outlet.name for outlet in instance.pipeline.spec.outlets]
    if name not in names:
        known = f"it has {', '.join(names)}" if names else "it has none"
        raise ConfigurationError(f"pipeline {instance.pipeline.metadata.name} has no outlet {name}: {known}")
    return instance


async def _statuses(instance: Instance) -> list[OutletStatus]:
    from cloudscale.outlets.status import status_of

    if not instance.pipeline.spec.outlets:
        return []
    async with _opened(instance) as store:
        return [await status_of(outlet, store) for outlet in instance.pipeline.spec.outlets]


async def _change(data_dir: Path, name: str, change: Callable[[State], State]) -> None:
    from cloudscale.outlets.state import StateStore

    async with _opened(_found(data_dir, name)) as store:
        await StateStore(store, name).change(change)


async def _find(data_dir: Path, name: str, *, limit: int) -> list[ParkedEvent]:
    from cloudscale.outlets.parked import ParkedEvents

    async with _opened(_found(data_dir, name)) as store:
        return await ParkedEvents(store, name).find(limit=limit)


def _chosen(event_ids: Sequence[str] | None, *, everything: bool) -> Sequence[str]:
    if bool(event_ids) == everything:
        raise ConfigurationError("name events by their ids, or choose all that are parked with --all")
    return event_ids or ()


async def _decide(data_dir: Path, name: str, event_ids: Sequence[str], act: Act) -> int:
    """Do something with parked events, which takes them out of those that nobody has decided about; how many."""
    from cloudscale.outlets.parked import ParkedEvents

    count = 0
    async with _opened(_found(data_dir, name)) as store:
        parked = ParkedEvents(store, name)
        while found := await parked.find(limit=_CHANGED_EVENTS, is_wanted=False, ids=event_ids):
            for event in found:
                await act(store, event)
            count += len(found)
    return count


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigurationError(
            f"--to {text} is no time: write a day like 2026-11-01, or a time like 2026-11-01T12:00:00Z"
        ) from None
    moment = moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    if moment > datetime.now(UTC):
        raise ConfigurationError(f"--to {text} is in the future: an outlet goes on with what was stored since a time")
    return moment


def _table_of(found: list[OutletStatus]) -> str:
    from rich.table import Table
    from rich.text import Text

    table = Table("outlet", "state", "behind", "parked", "last problem", "url", box=None)
    for each in found:
        behind = "" if each.lag_seconds is None else f"{each.lag_seconds:,.0f} s"
        row = (each.name, each.state, behind, f"{each.parked:,}", each.problem, each.url)
        table.add_row(*(Text(plain(text)) for text in row))
    return _printed(table) if found else "the pipeline has no outlets"


def _table_of_parked(found: list[ParkedEvent]) -> str:
    from rich.table import Table
    from rich.text import Text

    table = Table("event", "tenant", "type", "parked at", "attempts", "reason", box=None)
    for each in found:
        at = each.parked_at.isoformat(timespec="seconds")
        reason = "is being sent again" if each.is_wanted else each.reason
        row = (each.event_id, each.tenant_id, each.event_type, at, str(each.attempts), reason)
        table.add_row(*(Text(plain(text)) for text in row))
    return _printed(table) if found else "nothing is parked"


def _printed(table: object) -> str:
    from rich.console import Console

    console = Console() if sys.stdout.isatty() else Console(width=_PLAIN_WIDTH)
    with console.capture() as captured:
        console.print(table)
    return captured.get().rstrip("\n")
