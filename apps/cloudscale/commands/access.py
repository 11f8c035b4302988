"""What the commands about tenants, keys and devices share: the way to the directory, and how durations are given."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from cloudscale.commands.actor import whoever_calls
from cloudscale.errors import ConfigurationError
from cloudscale.local.instance import find_instance
from cloudscale.units import parse_duration

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from redis.asyncio import Redis

    from cloudscale.access.administrator import Administrator
    from cloudscale.access.container import AccessContainer
    from cloudscale.access.records import Key, Tenant
    from cloudscale.cache.keys import Keys

    Work = Callable[[Administrator, AccessContainer], Awaitable["T"]]

T = TypeVar("T")
Listed = TypeVar("Listed", "Tenant", "Key")

HOURS_A_DAY = 24
LISTED = 1000
"""Records that a list asks for at once, and the devices that it shows at the most."""

TenantOption = Annotated[str, typer.Option("--tenant", metavar="TENANT", help="The tenant that it belongs to.")]


def in_directory(data_directory: Path, work: Work[T]) -> T:
    """The result of ``work`` on the directory of the pipeline that is meant. Changes are recorded with the user's name.

    What did not go with a change is said on standard error.

    Raises:
        NotRecordedError: a change cannot be recorded, so it was not made.
    """
    return asyncio.run(_in_directory(data_directory, work))


@asynccontextmanager
async def open_directory(data_directory: Path) -> AsyncIterator[tuple[AccessContainer, Redis, Keys]]:
    """The directory of the pipeline that is meant, its Redis, and the names of its keys there."""
    from cloudscale.access.container import open_access
    from cloudscale.cache.connection import open_redis
    from cloudscale.cache.keys import keys_of

    instance = find_instance(data_directory)
    async with (
        open_access(instance.pipeline.spec.store, instance.settings) as container,
        open_redis(instance.settings.redis_url) as redis,
    ):
        yield container, redis, keys_of(instance.pipeline)


async def _in_directory(data_directory: Path, work: Work[T]) -> T:
    from cloudscale.access.administration import Administration
    from cloudscale.access.administrator import Administrator
    from cloudscale.access.authority import Authority
    from cloudscale.access.shared_cache import SharedCache
    from cloudscale.ledger.audit import Audit

    async with open_directory(data_directory) as (container, redis, keys):
        administration = Administration(container, SharedCache(redis, keys=keys))
        audit = Audit(redis, keys, logged=False)
        administrator = Administrator(Authority(who=whoever_calls()), administration, container, audit)
        try:
            return await work(administrator, container)
        finally:
            for warning in administrator.warnings:
                typer.echo(f"warning: {warning}", err=True)


async def all_records(container: AccessContainer, kind: type[Listed], *, tenant_id: str | None = None) -> list[Listed]:
    """All tenants, or all keys of one tenant, however many there are."""
    from cloudscale.access.container import position_of

    found: list[Listed] = []
    while True:
        after = position_of(found[-1]) if found else ""
        page = await container.page(kind, tenant_id=tenant_id, after=after, limit=LISTED)
        found += page
        if len(page) < LISTED:
            return found


def parse_time(text: str, *, option: str) -> timedelta:
    """A time as people give it: ``90d``, or as in the resource, ``24h`` or ``30m``.

    Raises:
        ConfigurationError: it is none.
    """
    days = text.removesuffix("d")
    try:
        if days != text:
            return timedelta(days=float(days))
        return parse_duration(text)
    except (ValueError, OverflowError, ConfigurationError):
        raise ConfigurationError(f"{option} {text!r} is not a time: write 90d, 24h or 30m") from None
