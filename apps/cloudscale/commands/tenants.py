"""``cloudscale tenants``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from cloudscale.commands.access import all_records, in_directory
from cloudscale.commands.options import AsJson, DataDirectory
from cloudscale.local.directory import DEFAULT_DATA_DIRECTORY

if TYPE_CHECKING:
    from cloudscale.access.administrator import Administrator
    from cloudscale.access.container import AccessContainer
    from cloudscale.access.records import Tenant

app = typer.Typer(help="Tenants: who may send events.", no_args_is_help=True)

TenantArgument = Annotated[str, typer.Argument(metavar="TENANT", help="The tenant's id, as events name it.")]
RequestsPerSecond = Annotated[
    float | None, typer.Option(help="Requests a second for long, if not what the pipeline says for every tenant.")
]
EventsPerSecond = Annotated[
    float | None, typer.Option(help="Events a second for long, if not what the pipeline says for every tenant.")
]


@app.command("create")
def create(
    tenant: TenantArgument,
    *,
    requests_per_second: RequestsPerSecond = None,
    events_per_second: EventsPerSecond = None,
    data_dir: DataDirectory = DEFAULT_DATA_DIRECTORY,
) -> None:
    """Create a tenant."""
    from cloudscale.access.records import Quota

    quota = Quota(requests_per_second=requests_per_second, events_per_second=events_per_second)

    async def work(administrator: Administrator, _: AccessContainer) -> None:
        await administrator.create_tenant(tenant, quota=quota)

    in_directory(data_dir, work)
    typer.echo(f"created tenant {tenant}; a key for it: cloudscale keys create --tenant {tenant} --name NAME")


@app.command("change")
def change(
    tenant: TenantArgument,
    *,
    requests_per_second: RequestsPerSecond = None,
    events_per_second: EventsPerSecond = None,
    disabled: Annotated[
        bool | None, typer.Option("--disable/--enable", help="Take its right to send, or give it back.")
    ] = None,
    data_dir: DataDirectory = DEFAULT_DATA_DIRECTORY,
) -> None:
    """Change a tenant's quota, or disable it. A quota that is not given is that of every tenant."""
    from cloudscale.access.records import Quota

    quota = Quota(requests_per_second=requests_per_second, events_per_second=events_per_second)

    async def work(administrator: Administrator, _: AccessContainer) -> Tenant:
        keeps_quota = quota == Quota() and disabled is not None
        return await administrator.change_tenant(tenant, quota=None if keeps_quota else quota, disabled=disabled)

    typer.echo(_described(in_directory(data_dir, work)))


@app.command("list")
def show_all(*, data_dir: DataDirectory = DEFAULT_DATA_DIRECTORY, as_json: AsJson = False) -> None:
    """List the tenants."""
    from cloudscale.access.records import Tenant

    async def work(_: Administrator, container: AccessContainer) -> list[Tenant]:
        return await all_records(container, Tenant)

    found = in_directory(data_dir, work)
    if as_json:
        typer.echo(msgspec.json.encode(found))
    else:
        for tenant in found:
            typer.echo(_described(tenant))


def _described(tenant: Tenant) -> str:
    quota = tenant.quota
    parts = [f"{tenant.id}  created {tenant.created_at:%Y-%m-%d %H:%M}"]
    if quota.requests_per_second is not None:
        parts.append(f"{quota.requests_per_second:g} requests/s")
    if quota.events_per_second is not None:
        parts.append(f"{quota.events_per_second:g} events/s")
    if tenant.disabled:
        parts.append("disabled")
    return "  ".join(parts)
