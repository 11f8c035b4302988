"""``cloudscale keys``."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer
from msgspec import UNSET, UnsetType

from cloudscale.access.scopes import Scope
from cloudscale.commands.access import TenantOption, all_records, in_directory, parse_time
from cloudscale.commands.options import AsJson, DataDirectory
from cloudscale.commands.plain_text import plain
from cloudscale.errors import ConfigurationError
from cloudscale.local.directory import DEFAULT_DATA_DIRECTORY

if TYPE_CHECKING:
    from datetime import timedelta

    from cloudscale.access.administrator import Administrator
    from cloudscale.access.container import AccessContainer
    from cloudscale.access.new_keys import NewKey
    from cloudscale.access.records import Key

app = typer.Typer(help="API keys: what proves who sends.", no_args_is_help=True)

KeyArgument = Annotated[str, typer.Argument(metavar="KEY", help="The key's id: the part between cs_ and the next _.")]


@app.command("create")
def create(  # noqa: PLR0913 (one parameter for each option)
    *,
    tenant: TenantOption,
    name: Annotated[str, typer.Option(help="What it is for, as lists show it.")],
    scope: Annotated[
        list[Scope] | None,
        typer.Option(
            help="What it may do; give the option again for more than one.", show_default=Scope.WRITE_EVENTS.value
        ),
    ] = None,
    expires: Annotated[str | None, typer.Option(metavar="TIME", help="When it ends, from now: 90d, 24h.")] = None,
    event_type: Annotated[
        list[str] | None, typer.Option(help="A type of event that it may send; without any, all types.")
    ] = None,
    origin: Annotated[
        list[str] | None,
        typer.Option(help="A web origin, such as https://shop.example, that it works from; then it may be public."),
    ] = None,
    device: Annotated[
        str | None, typer.Option(help="The device that it belongs to; it sends for this one only.")
    ] = None,
    requests_per_second: Annotated[
        float | None, typer.Option(help="Requests a second for long, if not what the pipeline says for every key.")
    ] = None,
    server: Annotated[
        bool,
        typer.Option("--server", help="For a server that sends for many users: its own address is none of theirs."),
    ] = False,
    given: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Write it without its secret into this file, for `spec.access.keys`, and not into the directory; no "
            "pipeline has to run.",
        ),
    ] = None,
    data_dir: DataDirectory = DEFAULT_DATA_DIRECTORY,
    as_json: AsJson = False,
) -> None:
    """Create a key and print it. It is shown this once: only a hash of it is stored."""
    from cloudscale.access.given_key_writing import add_key
    from cloudscale.access.new_keys import KeyRights, new_key

    rights = KeyRights(
        scopes=frozenset(scope or [Scope.WRITE_EVENTS]),
        event_types=frozenset(event_type) if event_type else None,
        origins=frozenset(origin) if origin else None,
        device_id=device,
        is_server=server,
        requests_per_second=requests_per_second,
    )
    expires_in = None if expires is None else parse_time(expires, option="--expires")
    if given is not None:
        new = new_key(tenant, name, rights=rights, expires_in=expires_in)
        add_key(given, new.record)
        print_new(new, as_json=as_json)
        return

    async def work(administrator: Administrator, _: AccessContainer) -> NewKey:
        return await administrator.create_key(tenant, name, rights=rights, expires_in=expires_in)

    print_new(in_directory(data_dir, work), as_json=as_json)


@app.command("rotate")
def rotate(
    key: KeyArgument,
    *,
    tenant: TenantOption,
    overlap: Annotated[str, typer.Option(metavar="TIME", help="How long the old key still holds.")] = "24h",
    data_dir: DataDirectory = DEFAULT_DATA_DIRECTORY,
    as_json: AsJson = False,
) -> None:
    """Create a key with the rights of another, which ends after the overlap."""
    longest = parse_time(overlap, option="--overlap")

    async def work(administrator: Administrator, _: AccessContainer) -> NewKey:
        return await administrator.rotate_key(key, tenant_id=tenant, overlap=longest)

    print_new(in_directory(data_dir, work), as_json=as_json)


@app.command("change")
def change(
    key: KeyArgument,
    *,
    tenant: TenantOption,
    name: Annotated[str | None, typer.Option(help="What it is for, as lists show it.")] = None,
    expires: Annotated[
        str | None, typer.Option(metavar="TIME", help="When it ends, from now: 90d, 24h, never.")
    ] = None,
    requests_per_second: Annotated[
        str | None,
        typer.Option(
            metavar="NUMBER", help="Requests a second for long, or `usual` for what the pipeline says for every key."
        ),
    ] = None,
    data_dir: DataDirectory = DEFAULT_DATA_DIRECTORY,
) -> None:
    """Change a key's name, end or limit. What is not given stays; what it may do cannot be changed."""
    if name is expires is requests_per_second is None:
        raise ConfigurationError("nothing is changed: give --name, --expires or --requests-per-second")
    expires_in: timedelta | UnsetType | None = UNSET
    if expires is not None:
        expires_in = None if expires == "never" else parse_time(expires, option="--expires")
    rate: float | UnsetType | None = UNSET
    if requests_per_second is not None:
        rate = None if requests_per_second == "usual" else _number(requests_per_second)

    async def work(administrator: Administrator, _: AccessContainer) -> Key:
        return await administrator.change_key(
            key,
            tenant_id=tenant,
            name=UNSET if name is None else name,
            expires_in=expires_in,
            requests_per_second=rate,
        )

    typer.echo(_described(in_directory(data_dir, work)))


@app.command("revoke")
def revoke(key: KeyArgument, *, tenant: TenantOption, data_dir: DataDirectory = DEFAULT_DATA_DIRECTORY) -> None:
    """End a key now; running processes notice within seconds."""

    async def work(administrator: Administrator, _: AccessContainer) -> Key:
        return await administrator.revoke_key(key, tenant_id=tenant)

    typer.echo(_described(in_directory(data_dir, work)))


@app.command("list")
def show_all(
    *, tenant: TenantOption, data_dir: DataDirectory = DEFAULT_DATA_DIRECTORY, as_json: AsJson = False
) -> None:
    """List a tenant's keys, without their secrets."""
    from cloudscale.access.records import Key

    async def work(administrator: Administrator, container: AccessContainer) -> list[Key]:
        if not (keys := await all_records(container, Key, tenant_id=tenant)):
            # None, or a tenant that was written wrong.
            await administrator.tenant(tenant)
        return keys

    found = in_directory(data_dir, work)
    if as_json:
        typer.echo(msgspec.json.encode([_public(key) for key in found]))
    else:
        for key in found:
            typer.echo(_described(key))


def print_new(new: NewKey, *, as_json: bool) -> None:
    """Show a key that has just been made, and what is to be done with it."""
    if as_json:
        typer.echo(msgspec.json.encode({**_public(new.record), "key": new.text}))
        return
    typer.echo(new.text)
    typer.echo(f"keep it now, it is not shown again: {_described(new.record)}", err=True)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ConfigurationError(f"--requests-per-second {text!r} is no number: write 50, or usual") from None


def _public(key: Key) -> dict[str, Any]:
    fields: dict[str, Any] = msgspec.to_builtins(key)
    return {name: value for name, value in fields.items() if name not in ("digest", "kind")}


def _described(key: Key) -> str:
    parts = [key.id, key.name, " ".join(sorted(key.scopes)), _state(key)]
    parts += [f"device {key.device_id}"] if key.device_id else []
    parts += [f"types {' '.join(sorted(key.event_types))}"] if key.event_types else []
    parts += [f"origins {' '.join(sorted(key.origins))}"] if key.origins else []
    parts += [f"{key.requests_per_second:g} requests/s"] if key.requests_per_second else []
    parts += ["server"] if key.is_server else []
    return plain("  ".join(parts))


def _state(key: Key) -> str:
    now = datetime.now(UTC)
    instead = f", replaced by {key.replaced_by}" if key.replaced_by else ""
    if key.revoked_at is not None:
        tense = "revoked" if key.revoked_at <= now else "ends"
        return f"{tense} {key.revoked_at:%Y-%m-%d %H:%M} UTC{instead}"
    if key.expires_at is None:
        return "without an end"
    tense = "expired" if key.expires_at <= now else "expires"
    return f"{tense} {key.expires_at:%Y-%m-%d %H:%M} UTC"
