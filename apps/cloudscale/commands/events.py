"""``cloudscale events``: send single events, replay files."""

from __future__ import annotations

import asyncio
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from cloudscale.commands.options import DataDirectory, EventsFile, Example, chosen_file
from cloudscale.errors import CloudScaleError
from cloudscale.examples import Kind
from cloudscale.local.directory import DEFAULT_DATA_DIRECTORY, read_record

if TYPE_CHECKING:
    from cloudscale.replay.replay import ReplayOptions

app = typer.Typer(help="Send events to the ingestion API.", no_args_is_help=True)

Url = Annotated[
    str | None,
    typer.Option(
        "--url", help="Address of the ingestion API; by default that of the run in --data-dir.", envvar="CLOUDSCALE_URL"
    ),
]


ApiKey = Annotated[
    str | None,
    typer.Option(
        "--key",
        help="API key or token, where the pipeline asks for one; in the variable no other user of the machine sees it.",
        envvar="CLOUDSCALE_KEY",
        show_envvar=True,
    ),
]


@app.command()
def send(
    file: EventsFile = None,
    *,
    example: Example = None,
    url: Url = None,
    key: ApiKey = None,
    data_dir: DataDirectory = DEFAULT_DATA_DIRECTORY,
) -> None:
    """Send each event in a request of its own and print each answer, one JSON object a line.

    For a few events: the limits of the resource count requests. Exit code 1 when one was refused.
    """
    path = chosen_file(file, example, kind=Kind.EVENTS)
    refused = asyncio.run(_send(path, url or read_record(data_dir).ingestion_url, key=key))
    if refused:
        raise typer.Exit(1)


async def _send(path: Path, url: str, *, key: str | None) -> int:
    from cloudscale.replay.client import EventClient
    from cloudscale.replay.source import fingerprint, prepare, read_lines

    refused = 0
    origin = fingerprint(path)
    async with EventClient(url, connections=1, key=key, notify=partial(typer.echo, err=True)) as client:
        for line in read_lines(path):
            try:
                event = prepare(line, origin=origin)
            except ValueError as error:
                raise CloudScaleError(f"{path}, line {line.number}: {error}") from None
            result = await client.send(event)
            refused += not (result.is_accepted or result.is_duplicate)
            typer.echo(msgspec.json.encode(result).decode())
    return refused


@app.command()
def replay(  # noqa: PLR0913 (one parameter for each option)
    file: EventsFile = None,
    *,
    example: Example = None,
    url: Url = None,
    key: ApiKey = None,
    data_dir: DataDirectory = DEFAULT_DATA_DIRECTORY,
    batch_size: Annotated[int, typer.Option(help="Events in one request.", min=1, max=1000)] = 500,
    in_flight: Annotated[int, typer.Option(help="Requests under way at the same time.", min=1, max=64)] = 4,
) -> None:
    """Send a whole file in batches, with a progress bar.

    Waits when the API asks to. An interrupted replay goes on where it was when the same command is given again.
    Events that are already there are recognised, so a replay can be repeated. Rejected events are written to a file
    beside the checkpoint, and make the exit code 1.
    """
    from cloudscale.replay.replay import ReplayOptions

    options = ReplayOptions(
        path=chosen_file(file, example, kind=Kind.EVENTS),
        url=url or read_record(data_dir).ingestion_url,
        state_folder=data_dir / "replays",
        batch_size=batch_size,
        in_flight=in_flight,
        key=key,
    )
    if replay_with_progress(options):
        raise typer.Exit(1)


def replay_with_progress(options: ReplayOptions) -> int:
    """Replay with a progress bar; the number of rejected events."""
    from cloudscale.replay.progress import ReplayProgress
    from cloudscale.replay.replay import replay as replay_file

    with ReplayProgress(options.path, live=sys.stderr.isatty()) as progress:
        try:
            report = asyncio.run(replay_file(options, progress=progress.show, notify=progress.notify))
        except KeyboardInterrupt:
            progress.notify(progress.how_to_go_on())
            raise
    typer.echo(progress.summary(report))
    return report.tally.rejected
