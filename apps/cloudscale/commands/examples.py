"""``cloudscale examples``."""

from __future__ import annotations

from typing import Annotated

import typer

from cloudscale import examples


def show(
    name: Annotated[str | None, typer.Argument(help="Example to print; without a name all are listed.")] = None,
) -> None:
    """List the examples that come with this program, or print one: `cloudscale examples clickstream > mine.yaml`.

    Pipelines are for `run` and `validate`, events for `events send` and `events replay`: each takes `--example NAME`.
    """
    if name is not None:
        typer.echo(examples.find_any(name).read_text(), nl=False)
        return
    listed = [(each, kind) for kind in examples.Kind for each in examples.names(kind)]
    width = max(len(each) for each, _kind in listed)
    for each, kind in listed:
        typer.echo(f"{each:{width}}  {kind.label:8}  {examples.describe(each, kind=kind)}")
