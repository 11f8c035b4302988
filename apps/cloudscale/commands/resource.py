"""``cloudscale schema`` and ``cloudscale validate``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cloudscale.errors import InvalidPipelineError


def schema() -> None:
    """Print the CustomResourceDefinition of EventPipeline, for `kubectl apply -f -`."""
    from cloudscale.pipeline.crd import render

    typer.echo(render(), nl=False)


def validate(file: Annotated[Path, typer.Argument(help="YAML or JSON file with one EventPipeline.")]) -> None:
    """Check a resource; every broken field is named, one a line, and the exit code is 1."""
    from cloudscale.pipeline import load_file

    try:
        pipeline = load_file(file)
    except InvalidPipelineError as error:
        for problem in error.problems:
            typer.echo(f"{file}: {problem}", err=True)
        raise typer.Exit(1) from None
    typer.echo(f"{file}: {pipeline.metadata.name} is valid")
