"""``cloudscale schema`` and ``cloudscale validate``."""

from __future__ import annotations

import typer

from cloudscale.commands.options import Example, PipelineFile, chosen_file
from cloudscale.errors import InvalidPipelineError
from cloudscale.examples import Kind


def schema() -> None:
    """Print the CustomResourceDefinition of EventPipeline, for `kubectl apply -f -`."""
    from cloudscale.pipeline.crd import render

    typer.echo(render(), nl=False)


def validate(file: PipelineFile = None, *, example: Example = None) -> None:
    """Check a resource; every broken field is named, one a line, and the exit code is 1."""
    from cloudscale.pipeline import load_file

    path = chosen_file(file, example, kind=Kind.PIPELINE)
    try:
        pipeline = load_file(path)
    except InvalidPipelineError as error:
        for problem in error.problems:
            typer.echo(f"{path}: {problem}", err=True)
        raise typer.Exit(1) from None
    typer.echo(f"{path}: {pipeline.metadata.name} is valid")
