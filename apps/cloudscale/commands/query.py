"""``cloudscale query``: questions to the archive."""

from __future__ import annotations

import asyncio
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from cloudscale.commands.options import AsJson, DataDirectory
from cloudscale.local.directory import DEFAULT_DATA_DIRECTORY

if TYPE_CHECKING:
    from datetime import timedelta

    from cloudscale.archive.query import Answer
    from cloudscale.local.instance import Instance

_PLAIN_WIDTH = 160
_SHOWN_ROWS = 1000


@dataclass(frozen=True)
class Question:
    """A statement, and what its answer may take."""

    statement: str
    within: timedelta
    memory: str
    disk_bytes: int


def query(
    statement: Annotated[str, typer.Argument(help="One SELECT over the table `events`.", show_default=False)],
    *,
    data_dir: DataDirectory = DEFAULT_DATA_DIRECTORY,
    timeout: Annotated[str, typer.Option(help="How long the query may take, such as 30s or 5m.")] = "1m",
    memory: Annotated[str, typer.Option(help="How much memory it may use, such as 500MB or 2GB.")] = "1GB",
    disk: Annotated[
        str, typer.Option(help="How much of an archive in Blob storage may be brought to this machine, such as 20Gi.")
    ] = "10Gi",
    as_json: AsJson = False,
) -> None:
    """Ask the archive in SQL.

    The table `events` has a row for every archived event: id, tenantId, eventType, receivedAt, createdAt, userId,
    amount and others, and `rest` with all other fields as JSON. The statement reads the archive and no other file. The
    pipeline need not run.
    """
    from cloudscale.local.instance import find_pipeline
    from cloudscale.units import parse_duration, parse_quantity

    question = Question(statement, within=parse_duration(timeout), memory=memory, disk_bytes=int(parse_quantity(disk)))
    asyncio.run(_answer(find_pipeline(data_dir), question, as_json=as_json))


async def _answer(instance: Instance, question: Question, *, as_json: bool) -> None:
    from cloudscale.archive.query import ask
    from cloudscale.archive.reading import bring_all, open_reading

    async with open_reading(instance.pipeline, instance.settings) as reading:
        await bring_all(reading, largest_bytes=question.disk_bytes)
        # Nothing else runs on this loop.
        with ask(reading.folder, question.statement, within=question.within, memory=question.memory) as answer:
            if as_json:
                _print_json(answer)
            else:
                _print_table(answer)


def _print_json(answer: Answer) -> None:
    import msgspec

    encode = msgspec.json.Encoder(enc_hook=str).encode
    separator = "["
    for row in answer.rows():
        typer.echo(separator + encode(dict(zip(answer.columns, row, strict=True))).decode(), nl=False)
        separator = ",\n"
    typer.echo("]" if separator != "[" else "[]")


def _print_table(answer: Answer) -> None:
    from itertools import islice

    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(*answer.columns, box=None)
    rows = answer.rows()
    for row in islice(rows, _SHOWN_ROWS):
        table.add_row(*(Text("" if value is None else str(value)) for value in row))
    is_cut = next(rows, None) is not None
    console = Console() if sys.stdout.isatty() else Console(width=_PLAIN_WIDTH)
    console.print(table)
    if is_cut:
        typer.echo(f"only the first {_SHOWN_ROWS:,} rows are shown: --json prints all, LIMIT asks for fewer", err=True)
