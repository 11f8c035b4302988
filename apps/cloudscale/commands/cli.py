"""``cloudscale``: run a pipeline on this machine, feed it, look into it, and prove that it lost nothing."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from cloudscale import __version__
from cloudscale.commands import (
    archive,
    archived_events,
    dead_letters,
    depth,
    devices,
    events,
    examples,
    keys,
    outlets,
    query,
    resource,
    run,
    tenants,
    verify,
)
from cloudscale.errors import CloudScaleError, ConfigurationError

EXIT_FAILED = 1
EXIT_MISUSED = 2
EXIT_INTERRUPTED = 130
QUIET_COMMANDS = frozenset({"schema", "validate", "examples", "version"})
"""They log nothing, and start sooner without what logs need."""

app = typer.Typer(
    name="cloudscale",
    help="HTTP events in, fraud-checked documents in Cosmos DB out, nothing lost.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
)
app.command("run")(run.run)
app.command("schema")(resource.schema)
app.command("validate")(resource.validate)
app.command("examples")(examples.show)
app.add_typer(events.app, name="events")
app.command("verify")(verify.verify)
app.add_typer(dead_letters.app, name="dlq")
app.command("depth")(depth.depth)
archive.app.command("export")(archived_events.export)
archive.app.command("replay")(archived_events.replay)
app.add_typer(archive.app, name="archive")
app.command("query")(query.query)
app.add_typer(outlets.app, name="outlets")
app.add_typer(tenants.app, name="tenants")
app.add_typer(keys.app, name="keys")
app.add_typer(devices.app, name="devices")


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def options(
    *,
    show_version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """HTTP events in, fraud-checked documents in Cosmos DB out, nothing lost."""


@app.command("version")
def print_version() -> None:
    """Print the version."""
    _print_version(wanted=True)


def main() -> None:
    """The console script: expected errors become one line for each problem instead of a traceback."""
    if not QUIET_COMMANDS & set(sys.argv[1:2]):
        # Without this logs go to standard output, where a script expects a new key, and have the local variables of
        # tracebacks, which hold passwords.
        from cloudscale.telemetry import logs

        logs.configure(format="console", level="warning")
    try:
        app()
    except CloudScaleError as error:
        for line in str(error).splitlines() or [type(error).__name__]:
            typer.echo(f"error: {line}", err=True)
        sys.exit(EXIT_MISUSED if isinstance(error, ConfigurationError) else EXIT_FAILED)
    except KeyboardInterrupt:
        sys.exit(EXIT_INTERRUPTED)


if __name__ == "__main__":
    main()
