"""``cloudscale dlq``: dead letters, listed, shown, sent again or dropped."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from cloudscale.commands.actor import whoever_calls
from cloudscale.commands.options import AsJson, DataDirectory
from cloudscale.errors import CloudScaleError, ConfigurationError
from cloudscale.local.directory import DEFAULT_DATA_DIRECTORY
from cloudscale.local.instance import find_instance

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from cloudscale.audit_record import Act
    from cloudscale.ledger.audit import Audit
    from cloudscale.queue.dead_letters import DeadLetter, DeadLetters

app = typer.Typer(help="Look at dead letters, send them again, or drop them.", no_args_is_help=True)

Numbers = Annotated[list[int] | None, typer.Argument(help="Sequence numbers, as `dlq list` prints them.")]
All = Annotated[bool, typer.Option("--all", help="All dead letters that are there now.")]


@app.command("list")
def list_letters(
    *,
    data_dir: DataDirectory = DEFAULT_DATA_DIRECTORY,
    after: Annotated[int, typer.Option(help="Only sequence numbers above this one.", min=0)] = 0,
    limit: Annotated[int, typer.Option(help="At most so many.", min=1, max=1000)] = 100,
    as_json: AsJson = False,
) -> None:
    """List dead letters: sequence number, reason, attempts, event and description."""

    async def read() -> list[DeadLetter]:
        async with _open(data_dir) as (letters, _):
            return await letters.list(after=after, limit=limit)

    found = asyncio.run(read())
    if as_json:
        typer.echo(msgspec.json.encode(found))
        return
    for letter in found:
        events = " ".join(str(event.get("eventId", "?")) for event in letter.events) or "-"
        typer.echo(f"{letter.sequence_number}\t{letter.reason}\t{letter.attempts}\t{events}\t{letter.description}")
    if not found:
        typer.echo("no dead letters")


@app.command()
def show(
    number: Annotated[int, typer.Argument(help="Sequence number, as `dlq list` prints it.")],
    *,
    data_dir: DataDirectory = DEFAULT_DATA_DIRECTORY,
) -> None:
    """Print one dead letter as JSON, with its events."""

    async def read() -> DeadLetter | None:
        async with _open(data_dir) as (letters, _):
            return await letters.show(number)

    letter = asyncio.run(read())
    if letter is None:
        raise CloudScaleError(f"there is no dead letter {number}: `cloudscale dlq list` names those that are there")
    typer.echo(msgspec.json.format(msgspec.json.encode(letter), indent=2))


@app.command()
def replay(numbers: Numbers = None, *, every: All = False, data_dir: DataDirectory = DEFAULT_DATA_DIRECTORY) -> None:
    """Send dead letters to the queue again, after what was wrong has been mended. The audit record has an entry."""
    _do("replay", _chosen(numbers, every=every), data_dir, done="replayed")


@app.command()
def discard(numbers: Numbers = None, *, every: All = False, data_dir: DataDirectory = DEFAULT_DATA_DIRECTORY) -> None:
    """Remove dead letters for good. There is no way back. The audit record has an entry."""
    _do("discard", _chosen(numbers, every=every), data_dir, done="discarded")


def _chosen(numbers: list[int] | None, *, every: bool) -> list[int] | None:
    """The numbers to work on, None for all."""
    if bool(numbers) == every:
        raise ConfigurationError("say which dead letters: sequence numbers, or --all")
    return numbers or None


def _do(act: Act, numbers: list[int] | None, data_directory: Path, *, done: str) -> None:
    """Replay or discard, and print how many.

    Raises:
        CloudScaleError: some of the numbers name no dead letter.
    """
    count = asyncio.run(_act(act, numbers, data_directory))
    typer.echo(f"{count} {done}")
    if numbers and (absent := len(set(numbers)) - count):
        raise CloudScaleError(
            f"{absent} of the numbers name no dead letter: `cloudscale dlq list` prints those that are there"
        )


async def _act(act: Act, numbers: list[int] | None, data_directory: Path) -> int:
    from redis.exceptions import RedisError

    from cloudscale.errors import BackendUnavailableError
    from cloudscale.ledger.audit import named

    async with _open(data_directory) as (letters, audit):
        do = letters.replay if act == "replay" else letters.discard
        try:
            return await audit.recorded(lambda: do(numbers), who=whoever_calls(), act=act, what=named(numbers))
        except (RedisError, OSError) as error:
            raise BackendUnavailableError(f"Redis cannot be reached: {error}") from error


@asynccontextmanager
async def _open(data_directory: Path) -> AsyncIterator[tuple[DeadLetters, Audit]]:
    from cloudscale.cache.connection import open_redis
    from cloudscale.cache.keys import keys_of
    from cloudscale.ledger.audit import Audit
    from cloudscale.ledger.dead_letters import DeadLetterLedger
    from cloudscale.queue.dead_letters import DeadLetters

    instance = find_instance(data_directory)
    async with open_redis(instance.settings.redis_url) as redis:
        keys = keys_of(instance.pipeline)
        ledger = DeadLetterLedger(redis, keys=keys)
        async with DeadLetters(instance.pipeline.spec.queue, instance.settings, ledger=ledger) as letters:
            yield letters, Audit(redis, keys, logged=False)
