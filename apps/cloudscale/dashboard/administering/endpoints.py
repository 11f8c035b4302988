"""What is done with tenants, keys and devices, for an administrator whom the routes have found out already."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
import structlog
from redis.exceptions import RedisError

from cloudscale import untrusted_json
from cloudscale.access.container import position_of
from cloudscale.access.records import KeyId
from cloudscale.dashboard.administering.models import (
    KeyChange,
    KeyPage,
    NewTenant,
    Rotation,
    TenantChange,
    TenantPage,
    WantedDevice,
    WantedKey,
    changed_key,
    changed_tenant,
    made_key,
    shown_key,
    shown_tenant,
)
from cloudscale.dashboard.administering.positions import (
    read_keys_page,
    read_tenants_page,
    refuse_parameters,
    write_cursor,
)
from cloudscale.dashboard.problems import Kind, RefusedReadingError
from cloudscale.dashboard.responses import JsonResponse
from cloudscale.events.checking import TenantId
from cloudscale.untrusted_json import UnreadableJsonError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.requests import Request
    from starlette.responses import Response

    from cloudscale.access.administrator import Administrator
    from cloudscale.access.last_use import LastUse
    from cloudscale.access.records import Key

log = structlog.get_logger(__name__)

T = TypeVar("T")

ONCE = {"Cache-Control": "no-store"}
"""A new key is told once, and nothing on the way keeps it."""

_new_tenant = msgspec.json.Decoder(NewTenant)
_tenant_change = msgspec.json.Decoder(TenantChange)
_wanted_device = msgspec.json.Decoder(WantedDevice)
_wanted_key = msgspec.json.Decoder(WantedKey)
_key_change = msgspec.json.Decoder(KeyChange)
_rotation = msgspec.json.Decoder(Rotation)


async def tenants(request: Request, administrator: Administrator) -> Response:
    """A page of the tenants that the administrator is for."""
    limit, after = read_tenants_page(request.query_params)
    found = await administrator.tenants(after=after, limit=limit + 1)
    following = write_cursor(position_of(found[limit - 1])) if len(found) > limit else None
    return JsonResponse(TenantPage([*map(shown_tenant, found[:limit])], following))


async def tenant(request: Request, administrator: Administrator) -> Response:
    """One tenant."""
    refuse_parameters(request.query_params)
    return JsonResponse(shown_tenant(await administrator.tenant(_named(request, "tenant_id", TenantId))))


async def create_tenant(request: Request, administrator: Administrator) -> Response:
    """A new tenant."""
    administrator.authority.require_all_tenants()
    wanted = await _body(request, _new_tenant)
    created = await administrator.create_tenant(wanted.id, quota=wanted.quota.quota)
    return JsonResponse(changed_tenant(created, warnings=administrator.warnings), 201)


async def change_tenant(request: Request, administrator: Administrator) -> Response:
    """Another quota for a tenant, or its right to send taken or given back."""
    administrator.authority.require_all_tenants()
    change = await _body(request, _tenant_change)
    if change == TenantChange():
        raise RefusedReadingError(Kind.INVALID, "Nothing is changed: give quota, disabled or both.")
    changed = await administrator.change_tenant(
        _named(request, "tenant_id", TenantId),
        quota=None if change.quota is msgspec.UNSET else change.quota.quota,
        disabled=None if change.disabled is msgspec.UNSET else change.disabled,
    )
    return JsonResponse(changed_tenant(changed, warnings=administrator.warnings))


async def keys(request: Request, administrator: Administrator) -> Response:
    """A page of keys, of one tenant if it is named, without their secrets."""
    tenant_id, limit, after = read_keys_page(request.query_params, _only_tenant(administrator))
    if tenant_id is None and administrator.authority.tenants is not None:
        raise RefusedReadingError(Kind.INVALID, "Say whose keys: give tenant.")
    found = await administrator.keys(tenant_id, after=after, limit=limit + 1)
    following = write_cursor(position_of(found[limit - 1])) if len(found) > limit else None
    keys = found[:limit]
    used, now = await _last_uses(request, [each.id for each in keys]), datetime.now(UTC)
    shown = [shown_key(each, now=now, last_used_at=used.get(each.id) if used else None) for each in keys]
    return JsonResponse(KeyPage(shown, following, last_use_known=used is not None))


async def create_key(request: Request, administrator: Administrator) -> Response:
    """A new key, whose secret is in this answer and nowhere else."""
    wanted = await _body(request, _wanted_key)
    tenant_id = wanted.tenant_id or _only_tenant(administrator)
    if tenant_id is None:
        raise RefusedReadingError(Kind.INVALID, "Say whose key it is: give tenantId.")
    made = await administrator.create_key(tenant_id, wanted.name, rights=wanted.rights, expires_in=wanted.expires_in)
    return JsonResponse(made_key(made, now=datetime.now(UTC), warnings=administrator.warnings), 201, ONCE)


async def create_device(request: Request, administrator: Administrator) -> Response:
    """A new device, and its key, whose secret is in this answer and nowhere else."""
    wanted = await _body(request, _wanted_device)
    tenant_id = wanted.tenant_id or _only_tenant(administrator)
    if tenant_id is None:
        raise RefusedReadingError(Kind.INVALID, "Say whose device it is: give tenantId.")
    made = await administrator.create_device(tenant_id, wanted.id, **wanted.details)
    return JsonResponse(made_key(made, now=datetime.now(UTC), warnings=administrator.warnings), 201, ONCE)


async def change_key(request: Request, administrator: Administrator) -> Response:
    """Another name, end or limit for a key."""
    change = await _body(request, _key_change)
    if change == KeyChange():
        raise RefusedReadingError(Kind.INVALID, "Nothing is changed: give name, expiresInSeconds or requestsPerSecond.")
    changed = await administrator.change_key(
        _named(request, "key_id", KeyId),
        name=change.name,
        expires_in=change.expires_in,
        requests_per_second=change.requests_per_second,
    )
    return await _changed_key(request, administrator, changed)


async def rotate_key(request: Request, administrator: Administrator) -> Response:
    """A new key with the rights of another, which holds for the overlap."""
    rotation = await _body(request, _rotation, if_empty=Rotation())
    overlap = timedelta(seconds=rotation.overlap_seconds)
    made = await administrator.rotate_key(_named(request, "key_id", KeyId), overlap=overlap)
    return JsonResponse(made_key(made, now=datetime.now(UTC), warnings=administrator.warnings), 201, ONCE)


async def revoke_key(request: Request, administrator: Administrator) -> Response:
    """The end of a key. Done again, it does no harm."""
    revoked = await administrator.revoke_key(_named(request, "key_id", KeyId))
    return await _changed_key(request, administrator, revoked)


async def _changed_key(request: Request, administrator: Administrator, changed: Key) -> Response:
    used, warnings = await _last_uses(request, [changed.id]), administrator.warnings
    if used is None:
        warnings = [*warnings, "when the key was last used is not known now, since Redis does not answer"]
    last_used_at = used.get(changed.id) if used else None
    return JsonResponse(changed_key(changed, now=datetime.now(UTC), last_used_at=last_used_at, warnings=warnings))


async def _last_uses(request: Request, key_ids: Sequence[str]) -> dict[str, datetime | None] | None:
    """When each of these keys was last used; None while nobody can say."""
    uses: LastUse = request.app.state.last_uses
    try:
        return dict(zip(key_ids, await uses.of(key_ids), strict=True))
    except (RedisError, OSError) as error:
        log.warning("when keys were last used is not known now: Redis cannot be reached", error=str(error))
        return None


def _named(request: Request, parameter: str, kind: Any) -> str:
    """The id in the request's path.

    Raises:
        RefusedReadingError: nothing can be called that.
    """
    try:
        return str(msgspec.convert(request.path_params[parameter], kind))
    except msgspec.ValidationError:
        raise RefusedReadingError(Kind.NOT_FOUND, "There is no such tenant, key or device.") from None


def _only_tenant(administrator: Administrator) -> str | None:
    """The one tenant of an administrator who has no other."""
    own = administrator.authority.tenants
    return next(iter(own)) if own is not None and len(own) == 1 else None


async def _body(request: Request, decoder: msgspec.json.Decoder[T], *, if_empty: T | None = None) -> T:
    """What the request says.

    Raises:
        RefusedReadingError: it says something else than this address takes.
    """
    refuse_parameters(request.query_params)
    content = await request.body()
    if not content and if_empty is not None:
        return if_empty
    try:
        return untrusted_json.decode_unambiguous(content, decoder)
    except UnreadableJsonError as error:
        raise RefusedReadingError(Kind.INVALID, f"The body is not what this address takes: {error}") from None
