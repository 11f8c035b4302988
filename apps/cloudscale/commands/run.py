"""``cloudscale run``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from cloudscale.commands.options import Example, PipelineFile, chosen_file
from cloudscale.examples import Kind
from cloudscale.local.directory import DEFAULT_DATA_DIRECTORY


def run(  # noqa: PLR0913 (one parameter for each option)
    file: PipelineFile = None,
    *,
    example: Example = None,
    data_dir: Annotated[
        Path, typer.Option(help="Everything that is kept: events, queue, keys, logs.", envvar="CLOUDSCALE_DATA_DIR")
    ] = DEFAULT_DATA_DIRECTORY,
    host: Annotated[str, typer.Option(help="Address that the API and the dashboard listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port of the API.", min=1, max=65535)] = 8080,
    dashboard_port: Annotated[int, typer.Option(help="Port of the dashboard.", min=1, max=65535)] = 8081,
    ingestion_processes: Annotated[int, typer.Option(help="Processes that serve the API.", min=1, max=64)] = 1,
    workers: Annotated[int, typer.Option(help="Worker processes.", min=1, max=64)] = 1,
    redis_url: Annotated[str | None, typer.Option(help="Use this Redis (`redis://…`) instead of starting one.")] = None,
    drain_seconds: Annotated[
        float, typer.Option(help="How long a stop waits for the workers to empty the queue.", min=0)
    ] = 30.0,
    open_to_anybody: Annotated[
        bool,
        typer.Option(
            "--open",
            help="Take events of anybody, also on an address that other machines may reach; without it events need an "
            "API key there, unless the pipeline says `access: {mode: Open}`.",
        ),
    ] = False,
    niceness: Annotated[
        int,
        typer.Option(
            help="How far workers, store and dashboard give way to requests, as long as events do not wait for long.",
            min=0,
            max=19,
            envvar="CLOUDSCALE_NICENESS",
        ),
    ] = 15,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print what happens, but no figures.")] = False,
) -> None:
    """Run a whole pipeline on this machine until Ctrl-C.

    Starts the Service Bus and Cosmos DB emulators, a Redis-compatible server, a worker, the dashboard and the
    ingestion API as processes, watches over them, and restarts what dies. Ctrl-C stops ingestion, lets the workers
    empty the queue, then stops the rest; a second Ctrl-C ends everything at once. What was acknowledged is kept in the
    data directory and worked off after the next start.
    """
    from cloudscale.local.display import LiveDisplay, PlainDisplay
    from cloudscale.local.plan import RunOptions
    from cloudscale.local.run import run as run_pipeline

    options = RunOptions(
        pipeline_file=chosen_file(file, example, kind=Kind.PIPELINE),
        data_directory=data_dir,
        host=host,
        port=port,
        dashboard_port=dashboard_port,
        ingestion_processes=ingestion_processes,
        open_to_anybody=open_to_anybody,
        workers=workers,
        redis_url=redis_url,
        drain_seconds=drain_seconds,
        niceness=niceness,
    )
    is_terminal = sys.stdout.isatty()
    live = is_terminal and not quiet
    run_pipeline(options, LiveDisplay() if live else PlainDisplay(quiet=quiet, is_private=is_terminal))
