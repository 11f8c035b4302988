"""Options that several commands have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

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

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
