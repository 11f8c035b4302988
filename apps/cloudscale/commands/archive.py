"""``cloudscale archive``: how the archive stands, and the proof that it has everything."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from cloudscale.commands.options import AsJson, DataDirectory
from cloudscale.errors import BackendError
from cloudscale.local.directory import DEFAULT_DATA_DIRECTORY
from cloudscale.units import parse_duration

if TYPE_CHECKING:
    from cloudscale.archive.status import Status
    from cloudscale.archive.verification import Verdict
    from cloudscale.local.instance import Instance

EXIT_WRONG = 1
EXIT_UNPROVEN = 3
EXIT_UNKNOWN = 4

_INTERVAL_SECONDS = 1.0
_PLAIN_WIDTH = 160
_COLUMNS = ("stored", "archived", "waiting", "missing", "doubled", "surplus")

app = typer.Typer(help="Look at the archive, and prove that it has everything.", no_args_is_help=True)


@app.command("status")
def status(*, data_dir: DataDirectory = DEFAULT_DATA_DIRECTORY, as_json: AsJson = False) -> None:
    """Print how far the archive is behind the store, and how many files, rows and bytes it has."""
    from cloudscale.local.instance import find_instance

    found = asyncio.run(_status(find_instance(data_dir)))
    typer.echo(msgspec.json.encode(found) if as_json else _described(found))


@app.command("verify")
def verify(
    *,
    data_dir: DataDirectory = DEFAULT_DATA_DIRECTORY,
    wait: Annotated[
        str, typer.Option(help="How long to wait for events that are not archived yet, such as 30s or 6m.")
    ] = "0s",
    as_json: AsJson = False,
) -> None:
    """Prove that the archive has what the store has: for each tenant and hour, archived = stored.

    Reads every file and compares it with its checksum. Exit code 1 when events are missing or doubled, or a file is not
    as it was written; exit code 3 when nothing is proven yet, since events are not archived yet or the store has fewer;
    exit code 4 when the store or a manifest cannot be read.
    """
    from cloudscale.local.instance import find_instance

    try:
        verdict = asyncio.run(_verify(find_instance(data_dir), parse_duration(wait).total_seconds()))
    except BackendError as error:
        typer.echo(f"nothing is proven, and nothing is known to be missing: {error}", err=True)
        raise typer.Exit(EXIT_UNKNOWN) from None
    typer.echo(_as_json(verdict) if as_json else render(verdict))
    if verdict.is_wrong:
        raise typer.Exit(EXIT_WRONG)
    if not verdict.is_proven:
        raise typer.Exit(EXIT_UNPROVEN)


async def _status(instance: Instance) -> Status:
    from cloudscale.archive.location import FOLLOWER
    from cloudscale.archive.reading import open_reading
    from cloudscale.archive.status import status_of
    from cloudscale.archive.verification import up_to_date_at
    from cloudscale.store.events import EventStore
    from cloudscale.store.leases import LeaseStore

    async with (
        open_reading(instance.pipeline, instance.settings) as reading,
        EventStore(instance.pipeline.spec.store, instance.settings) as store,
    ):
        reached = await up_to_date_at(LeaseStore(store, follower=FOLLOWER))
        return status_of(reading, up_to_date_at=reached)


def _described(found: Status) -> str:
    lag = "not up to date so far" if found.lag_seconds is None else f"{found.lag_seconds:,.0f} s behind at the most"
    refused = f"  put aside {found.refused:,}" if found.refused else ""
    return f"{found.archive}  {lag}  files {found.files:,}  rows {found.rows:,}  bytes {found.bytes:,}{refused}"


async def _verify(instance: Instance, wait_seconds: float) -> Verdict:
    """Verify, and again while events wait and there is time left."""
    import time

    from cloudscale.archive import verification
    from cloudscale.archive.location import FOLLOWER
    from cloudscale.archive.reading import open_reading
    from cloudscale.store.events import EventStore
    from cloudscale.store.leases import LeaseStore

    deadline = time.monotonic() + wait_seconds
    async with (
        open_reading(instance.pipeline, instance.settings) as reading,
        EventStore(instance.pipeline.spec.store, instance.settings) as store,
    ):
        leases = LeaseStore(store, follower=FOLLOWER)
        while True:
            started = time.monotonic()
            verdict = await verification.verify(instance.pipeline, reading, store=store, leases=leases)
            if verdict.is_wrong or verdict.is_proven or time.monotonic() >= deadline:
                return verdict
            await asyncio.sleep(max(_INTERVAL_SECONDS, time.monotonic() - started))


def render(verdict: Verdict) -> str:
    """The verdict as a table and in words."""
    from rich.console import Console
    from rich.table import Table

    table = Table("tenant", "hour (UTC)", box=None)
    for column in _COLUMNS:
        table.add_column(column, justify="right")
    table.add_column("")
    for hour in verdict.hours:
        numbers = [f"{getattr(hour, column):,}" for column in _COLUMNS]
        table.add_row(hour.tenant_id, hour.hour, *numbers, "expired" if hour.expired else "")
    table.add_row("total", "", *(f"{verdict.total(column):,}" for column in _COLUMNS), style="bold")
    console = Console() if sys.stdout.isatty() else Console(width=_PLAIN_WIDTH)
    with console.capture() as captured:
        console.print(table)
    return captured.get() + "\n".join(_words(verdict))


def _words(verdict: Verdict) -> list[str]:
    lines = [f"{verdict.refused:,} documents could be no rows and are put aside"] if verdict.refused else []
    lines += [f"not as it was written: {path}" for path in verdict.broken]
    lines += [f"in no manifest: {path}" for path in verdict.unknown]
    if missing := verdict.total("missing"):
        lines.append(f"{missing:,} events are stored and not archived")
    if doubled := verdict.total("doubled"):
        lines.append(f"{doubled:,} events are archived more than once")
    if verdict.is_wrong:
        return lines
    if waiting := verdict.total("waiting"):
        return [*lines, f"{waiting:,} events are not archived yet: verify again, or with --wait 6m"]
    if surplus := verdict.total("surplus"):
        return [*lines, f"{surplus:,} events are archived and not stored any more: somebody has deleted them there"]
    return [*lines, "archived = stored"]


def _as_json(verdict: Verdict) -> str:
    document = msgspec.to_builtins(verdict) | {
        "totals": {column: verdict.total(column) for column in _COLUMNS},
        "proven": verdict.is_proven,
    }
    return msgspec.json.encode(document).decode()
