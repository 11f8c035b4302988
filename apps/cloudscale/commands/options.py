"""Options that several commands have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cloudscale import examples
from cloudscale.errors import ConfigurationError
from cloudscale.local.directory import DEFAULT_DATA_DIRECTORY

DataDirectory = Annotated[
    Path,
    typer.Option(
        "--data-dir",
        help="Data directory of the `cloudscale run` that is meant. Ignored when CLOUDSCALE_PIPELINE_FILE and the "
        "other CLOUDSCALE_… variables of a service name a pipeline elsewhere.",
        envvar="CLOUDSCALE_DATA_DIR",
        show_default=str(DEFAULT_DATA_DIRECTORY),
    ),
]

PipelineFile = Annotated[
    Path | None, typer.Argument(help="YAML or JSON file with one EventPipeline.", show_default=False)
]
EventsFile = Annotated[
    Path | None,
    typer.Argument(
        help="File with one JSON event a line, plain or .gz; - reads the standard input.", show_default=False
    ),
]
Example = Annotated[
    str | None,
    typer.Option(
        "--example",
        metavar="NAME",
        help="Take an example that comes with this program instead of a file; `cloudscale examples` lists them.",
    ),
]

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


def chosen_file(file: Path | None, example: str | None, *, kind: examples.Kind) -> Path:
    """The file that a command was given, by its path or as the name of an example.

    Raises:
        ConfigurationError: both are given, or neither, or there is no such example.
    """
    match file, example:
        case Path(), None:
            return file
        case None, str():
            return examples.find(example, kind=kind)
    given = "no file is given" if file is None else "a file and an example are both given"
    known = ", ".join(examples.names(kind))
    raise ConfigurationError(f"{given}: name a file, or an example with --example ({known})")
