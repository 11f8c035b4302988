"""``cloudscale dlq``."""

from __future__ import annotations

import typer

app = typer.Typer(help="Look at dead letters, send them again, or drop them.", no_args_is_help=True)
