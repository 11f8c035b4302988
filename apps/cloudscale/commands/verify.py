"""``cloudscale verify``: the proof that nothing was lost."""

from __future__ import annotations

import asyncio
import sys
import time
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from cloudscale.cache.records import TENANTS_AN_HOUR
from cloudscale.commands.options import AsJson, DataDirectory
from cloudscale.errors import BackendError, BackendUnavailableError
from cloudscale.local.directory import DEFAULT_DATA_DIRECTORY
from cloudscale.local.instance import Instance, find_instance
from cloudscale.units import parse_duration

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from cloudscale.cache.keys import Keys
    from cloudscale.ledger.verification import Balance

EXIT_LOST = 1
EXIT_UNPROVEN = 3
EXIT_UNKNOWN = 4

_INTERVAL_SECONDS = 0.25
_STILL_SECONDS = 5.0
_AWAY_SECONDS = 1.0
_NAMED_IDS = 100
_PLAIN_WIDTH = 160
_OTHERS = "(others)"
_COLUMNS = ("accepted", "persisted", "duplicates", "dead_letters", "in_flight", "difference")


def verify(
    *,
    data_dir: DataDirectory = DEFAULT_DATA_DIRECTORY,
    wait: Annotated[
        str, typer.Option(help="How long to wait for events that are still in flight, such as 30s or 5m.")
    ] = "0s",
    as_json: AsJson = False,
) -> None:
    """Prove that no accepted event was lost.

    For each tenant and hour: accepted = persisted + duplicates + dead letters + in flight. Persisted is what the store
    says when asked, the rest is the ledger's. Exit code 1, and the ids, when an event was answered 202 and is nowhere;
    exit code 3 when nothing is proven yet: events were still moving, or some that were accepted while Redis was away,
    and that the ledger cannot name, are not stored; exit code 4 when the store, the queue or Redis cannot be asked.
    """
    try:
        balance = asyncio.run(_verify(find_instance(data_dir), parse_duration(wait).total_seconds()))
    except BackendError as error:
        typer.echo(f"nothing is proven, and nothing is known to be lost: {error}", err=True)
        raise typer.Exit(EXIT_UNKNOWN) from None
    typer.echo(_as_json(balance) if as_json else render(balance))
    if balance.lost:
        raise typer.Exit(EXIT_LOST)
    if not balance.is_proven:
        raise typer.Exit(EXIT_UNPROVEN)


async def _verify(instance: Instance, wait_seconds: float) -> Balance:
    """Verify, and again while events are in flight and there is time left."""
    from redis.exceptions import RedisError

    from cloudscale.cache.connection import open_redis
    from cloudscale.cache.keys import keys_of
    from cloudscale.ledger import verification
    from cloudscale.store.events import EventStore

    pipeline, settings = instance.pipeline, instance.settings
    deadline = time.monotonic() + wait_seconds
    async with open_redis(settings.redis_url) as redis, EventStore(pipeline.spec.store, settings) as store:
        while True:
            try:
                await _stand_still(redis, keys_of(pipeline), until=deadline)
                started = time.monotonic()
                balance = await verification.verify(pipeline, settings, redis=redis, store=store)
            except (RedisError, BackendUnavailableError) as error:
                if time.monotonic() < deadline:
                    await asyncio.sleep(_AWAY_SECONDS)
                    continue
                if isinstance(error, BackendUnavailableError):
                    raise
                raise BackendUnavailableError(f"the ledger in Redis cannot be read: {error}") from None
            settled = balance.is_proven and not balance.total("in_flight")
            # Only a named event is lost for sure: what was accepted while Redis was away never is in flight for the
            # ledger, so a difference may vanish while the queue empties.
            if settled or balance.missing or time.monotonic() >= deadline:
                return balance
            # To count what is stored takes the store's time, which is the pipeline's while the queue is worked off.
            await asyncio.sleep(max(_INTERVAL_SECONDS, time.monotonic() - started))


async def _stand_still(redis: Redis, keys: Keys, *, until: float, still_seconds: float = _STILL_SECONDS) -> None:
    """Wait until nothing is in flight, or no fewer than ``still_seconds`` ago; ``until`` is the latest."""
    least, since = sys.maxsize, time.monotonic()
    while (now := time.monotonic()) < until:
        in_flight = await redis.hlen(keys.inflight)
        if in_flight < least:
            least, since = in_flight, now
        if not in_flight or now - since > still_seconds:
            return
        await asyncio.sleep(_INTERVAL_SECONDS)


def render(balance: Balance) -> str:
    """The balance as a table and a verdict."""
    from rich.console import Console
    from rich.table import Table

    table = Table("tenant", "hour (UTC)", box=None)
    for column in _COLUMNS:
        table.add_column(column.replace("_", " "), justify="right")
    table.add_column("")
    for hour in balance.hours:
        numbers = [f"{getattr(hour, column):,}" for column in _COLUMNS]
        table.add_row(hour.tenant_id or _OTHERS, hour.hour, *numbers, "moving" if hour.moving else "")
    table.add_row("total", "", *(f"{balance.total(column):,}" for column in _COLUMNS), style="bold")
    console = Console() if sys.stdout.isatty() else Console(width=_PLAIN_WIDTH)
    with console.capture() as captured:
        console.print(table)
    return captured.get() + "\n".join([*_remarks(balance), *_verdict(balance)])


def _remarks(balance: Balance) -> list[str]:
    remarks = []
    if surplus := balance.total("surplus"):
        remarks.append(
            f"{surplus:,} more events are stored than the ledger has as accepted: an ingestion ended before it entered "
            "them, so their clients may have a 202 or none, or the ledger was lost or is younger than the store"
        )
    if balance.shared_hours:
        remarks.append(
            f"(others): in {balance.shared_hours:,} hours the tenants after the first {TENANTS_AN_HOUR} "
            "are counted together"
        )
    return remarks


def _verdict(balance: Balance) -> list[str]:
    if balance.lost:
        named = balance.missing[:_NAMED_IDS]
        ids = [f"missing: {each.tenant_id} {each.event_id} (received {each.hour[1]})" for each in named]
        more = len(balance.missing) - len(named)
        unnamed = balance.lost - len(balance.missing)
        return [
            f"{balance.lost:,} events were accepted and are nowhere",
            *ids,
            *([f"and {more:,} more"] if more else []),
            *([f"{unnamed:,} of them cannot be named: the ledger itself has lost them"] if unnamed > 0 else []),
        ]
    if balance.moving:
        return ["nothing is missing so far, but events are on their way: verify again, or with --wait 1m"]
    if balance.unsearched:
        return [f"the whereabouts of {balance.unsearched:,} events are open, the queue is too deep to look through"]
    if balance.unaccounted:
        return [
            f"{balance.unaccounted:,} events that were accepted while Redis was away are not stored and have no names:",
            "they are not among the dead letters: they are being processed, or they are lost",
        ]
    if unnamed := balance.total("unnamed"):
        return [
            f"zero lost: also the {unnamed:,} that were accepted while Redis was away, by number instead of by name"
        ]
    return ["zero lost"]


def _as_json(balance: Balance) -> str:
    document = msgspec.to_builtins(balance) | {
        "totals": balance.totals,
        "surplus": balance.total("surplus"),
        "lost": balance.lost,
        "unaccounted": balance.unaccounted,
        "proven": balance.is_proven,
    }
    return msgspec.json.encode(document).decode()
