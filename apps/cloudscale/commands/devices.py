"""``cloudscale devices``."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, TypeVar

import msgspec
import typer

from cloudscale.commands.access import LISTED, TenantOption, in_directory, open_directory
from cloudscale.commands.keys import print_new
from cloudscale.commands.options import AsJson, DataDirectory
from cloudscale.commands.plain_text import plain
from cloudscale.errors import ConfigurationError
from cloudscale.local.directory import DEFAULT_DATA_DIRECTORY

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from cloudscale.access.administrator import Administrator
    from cloudscale.access.container import AccessContainer
    from cloudscale.access.device_view import DeviceView, KnownDevice
    from cloudscale.access.new_keys import NewKey

T = TypeVar("T")

app = typer.Typer(help="Devices: each sends with a key of its own.", no_args_is_help=True)

DeviceArgument = Annotated[str, typer.Argument(metavar="DEVICE", help="The device's id.")]


@app.command("create")
def create(  # noqa: PLR0913 (one parameter for each option)
    device: DeviceArgument,
    *,
    tenant: TenantOption,
    kind: Annotated[str | None, typer.Option("--type", help="What it is, such as thermostat.")] = None,
    model: Annotated[str | None, typer.Option(help="Its model.")] = None,
    metadata: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="Something to know about it; may be given again.")
    ] = None,
    data_dir: DataDirectory = DEFAULT_DATA_DIRECTORY,
    as_json: AsJson = False,
) -> None:
    """Register a device and print its key, which sends for this device only. It is shown this once."""
    about = dict(_pair(text) for text in metadata or ())

    async def work(administrator: Administrator, _: AccessContainer) -> NewKey:
        return await administrator.create_device(tenant, device, type=kind, model=model, metadata=about)

    print_new(in_directory(data_dir, work), as_json=as_json)


@app.command("list")
def show_all(
    *, tenant: TenantOption, data_dir: DataDirectory = DEFAULT_DATA_DIRECTORY, as_json: AsJson = False
) -> None:
    """List a tenant's devices, with when each was last seen and what its clock is off."""
    from cloudscale.access.device_view import described
    from cloudscale.access.records import Tenant

    async def work(view: DeviceView, container: AccessContainer) -> list[KnownDevice]:
        if not (devices := await all_devices(view, tenant)):
            # None, or a tenant that was written wrong.
            await container.read(Tenant, tenant, tenant_id=tenant)
        return devices

    found = _seen(tenant, data_dir, work)
    if as_json:
        typer.echo(msgspec.json.encode([described(each) for each in found]))
    else:
        for each in found:
            typer.echo(_line(each))


@app.command("show")
def show(
    device: DeviceArgument,
    *,
    tenant: TenantOption,
    data_dir: DataDirectory = DEFAULT_DATA_DIRECTORY,
    as_json: AsJson = False,
) -> None:
    """Show what is known of a device."""
    from cloudscale.access.container import NotFoundError
    from cloudscale.access.device_view import described

    async def work(view: DeviceView, _: AccessContainer) -> tuple[KnownDevice, list[str]]:
        known = await view.find_device(tenant, device)
        if known is None:
            raise NotFoundError(f"there is no device {device} of tenant {tenant}: look at `cloudscale devices list`")
        return known, await view.find_key_ids(tenant, device)

    known, key_ids = _seen(tenant, data_dir, work)
    if as_json:
        typer.echo(msgspec.json.encode({**described(known), "keyIds": key_ids}))
        return
    typer.echo(_line(known))
    first = "not seen" if known.first_seen is None else f"{known.first_seen:%Y-%m-%d %H:%M} UTC"
    typer.echo(f"  first seen: {first}")
    typer.echo(f"  keys: {' '.join(key_ids)}")
    for name, value in known.device.metadata.items():
        typer.echo(plain(f"  {name}: {value}"))


async def all_devices(view: DeviceView, tenant: str) -> list[KnownDevice]:
    """All devices of a tenant, however many there are."""
    from cloudscale.access.device_view import DeviceFilter

    found: list[KnownDevice] = []
    following: str | None = ""
    while following is not None:
        page = await view.find_devices(DeviceFilter(), tenant=tenant, limit=LISTED, after=following)
        found += page.devices
        following = page.following
    return found


def _seen(tenant: str, data_directory: Path, work: Callable[[DeviceView, AccessContainer], Awaitable[T]]) -> T:
    """The result of ``work`` on the devices of a tenant of the pipeline that is meant."""
    return asyncio.run(_seen_of(tenant, data_directory, work))


async def _seen_of(tenant: str, data_directory: Path, work: Callable[[DeviceView, AccessContainer], Awaitable[T]]) -> T:
    from cloudscale.access.device_view import DeviceView
    from cloudscale.access.sightings import Sightings

    async with open_directory(data_directory) as (container, redis, keys):
        return await work(DeviceView(container, Sightings(redis, keys=keys), frozenset({tenant})), container)


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise ConfigurationError(f"--metadata {text!r} has no name and value: write NAME=VALUE")
    return name, value


def _line(known: KnownDevice) -> str:
    device, seen = known
    about = " ".join(text for text in (device.type, device.model) if text)
    parts = [device.id, about, f"since {device.created_at:%Y-%m-%d %H:%M} UTC"]
    parts.append("not seen" if seen is None else f"last seen {seen.last:%Y-%m-%d %H:%M:%S} UTC")
    if seen is not None and seen.skew_seconds is not None:
        side = "behind" if seen.skew_seconds > 0 else "ahead"
        parts.append(f"clock {abs(seen.skew_seconds):.1f} s {side}")
    return plain("  ".join(part for part in parts if part))
