"""One administrator at work: does what its authority allows, and records every change before it is tried.

The command line, the API and the dashboard's page all come this way, so the same rules and the same record hold for
each of them.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypeVar, Unpack, cast

from msgspec import UNSET, UnsetType

from cloudscale.access.administration import NO_QUOTA, NotAnnouncedError
from cloudscale.access.container import NotFoundError, position_of
from cloudscale.access.new_keys import SENDS_EVENTS, KeyRights, lifetime_of, rights_of
from cloudscale.access.records import DeviceDetails, Key, Reference, Tenant

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from datetime import timedelta

    from cloudscale.access.administration import Administration
    from cloudscale.access.authority import Authority
    from cloudscale.access.container import AccessContainer
    from cloudscale.access.new_keys import NewKey
    from cloudscale.access.records import Quota
    from cloudscale.audit_record import Act, AuditRecord

T = TypeVar("T")


class Administrator:
    """Reads and changes the directory as far as an authority allows.

    Every method raises ``NotAllowedError`` for what it does not allow, ``BackendError`` when the store does not do what
    it should. A change that cannot be recorded is not done, and the record's error is raised; but what takes somebody a
    right is done whatever is away. ``warnings`` says of what has been done what did not go with it.

    Args:
        authority: what is allowed, and whose name is recorded.
        administration: makes the changes.
        container: where records are read.
        audit: where changes are recorded.
        usual_requests_per_second: what a tenant without a quota may send.
    """

    def __init__(
        self,
        authority: Authority,
        administration: Administration,
        container: AccessContainer,
        audit: AuditRecord,
        *,
        usual_requests_per_second: float = math.inf,
    ) -> None:
        self.authority = authority
        self._administration = administration
        self._container = container
        self._audit = audit
        self._usual_requests_per_second = usual_requests_per_second
        self.warnings: list[str] = []
        """What whoever asked for the changes has to know: that one is not recorded, or noticed late."""

    async def tenants(self, *, after: str = "", limit: int = 100) -> list[Tenant]:
        """The tenants that it administers, in the order of their ids, behind the position ``after``."""
        own = self.authority.tenants
        if own is None:
            return await self._container.page(Tenant, after=after, limit=limit)
        found = await self._container.find([Reference("tenant", each) for each in sorted(own)])
        tenants = sorted((each for each in found.values() if isinstance(each, Tenant)), key=position_of)
        return [each for each in tenants if position_of(each) > after][:limit]

    async def tenant(self, tenant_id: str) -> Tenant:
        """One tenant.

        Raises:
            NotFoundError: there is no such tenant.
        """
        self.authority.require_tenant(tenant_id)
        return await self._container.read(Tenant, tenant_id, tenant_id=tenant_id)

    async def create_tenant(self, tenant_id: str, *, quota: Quota = NO_QUOTA) -> Tenant:
        """A new tenant; see :meth:`Administration.create_tenant`."""
        self.authority.require_all_tenants()
        return await self._recorded(
            "create tenant",
            f"tenant {tenant_id}{_described(quota)}",
            lambda: self._administration.create_tenant(tenant_id, quota=quota),
        )

    async def change_tenant(
        self, tenant_id: str, *, quota: Quota | None = None, disabled: bool | None = None
    ) -> Tenant:
        """Another quota, or the right to send taken or given back; see :meth:`Administration.change_tenant`."""
        self.authority.require_all_tenants()
        state = {None: "", True: ", disabled", False: ", enabled"}[disabled]
        return await self._recorded(
            "change tenant",
            f"tenant {tenant_id}{'' if quota is None else _described(quota) or ', the quota of every tenant'}{state}",
            lambda: self._administration.change_tenant(tenant_id, quota=quota, disabled=disabled),
            even_unrecorded=bool(disabled),
        )

    async def keys(self, tenant_id: str | None = None, *, after: str = "", limit: int = 100) -> list[Key]:
        """Keys of one tenant, in the order of their ids, behind the position ``after``; None for those of all tenants.

        Raises:
            NotFoundError: there is no such tenant.
        """
        if tenant_id is None:
            self.authority.require_all_tenants()
        else:
            await self.tenant(tenant_id)
        return await self._container.page(Key, tenant_id=tenant_id, after=after, limit=limit)

    async def create_key(
        self, tenant_id: str, name: str, *, rights: KeyRights = SENDS_EVENTS, expires_in: timedelta | None = None
    ) -> NewKey:
        """A new key; see :meth:`Administration.create_key`."""
        self.authority.require_tenant(tenant_id)
        self.authority.require_rights(rights)
        self.authority.require_end(_end_in(expires_in))
        await self._require_rate(tenant_id, rights.requests_per_second)
        return await self._recorded(
            "create key",
            f"a key {name} of tenant {tenant_id} for {' '.join(sorted(rights.scopes))}",
            lambda: self._administration.create_key(tenant_id, name, rights=rights, expires_in=expires_in),
            outcome=_key_made,
        )

    async def rotate_key(self, key_id: str, *, tenant_id: str | None = None, overlap: timedelta) -> NewKey:
        """A new key with the rights of another; see :meth:`Administration.rotate_key`."""
        old = await self._key(key_id, tenant_id)
        self.authority.require_rights(rights_of(old))
        self.authority.require_end(_end_in(lifetime_of(old)))
        await self._require_rate(old.tenant_id, old.requests_per_second)
        return await self._recorded(
            "rotate key",
            f"key {key_id} of tenant {old.tenant_id}, which holds for {overlap} more",
            lambda: self._administration.rotate_key(old.tenant_id, key_id, overlap=overlap),
            outcome=_key_made,
        )

    async def change_key(
        self,
        key_id: str,
        *,
        tenant_id: str | None = None,
        name: str | UnsetType = UNSET,
        expires_in: timedelta | UnsetType | None = UNSET,
        requests_per_second: float | UnsetType | None = UNSET,
    ) -> Key:
        """Another name, end or limit for a key; see :meth:`Administration.change_key`."""
        old = await self._key(key_id, tenant_id)
        self.authority.require_rights(rights_of(old))
        changes: list[str] = []
        if not isinstance(name, UnsetType):
            changes.append(f"the name {name}")
        if not isinstance(expires_in, UnsetType):
            end = _end_in(expires_in)
            self.authority.require_end(end)
            changes.append("no end" if end is None else f"its end at {end:%Y-%m-%d %H:%M:%S} UTC")
        if not isinstance(requests_per_second, UnsetType):
            await self._require_rate(old.tenant_id, requests_per_second)
            changes.append(
                "the limit of every key" if requests_per_second is None else f"{requests_per_second:g} requests/s"
            )
        return await self._recorded(
            "change key",
            f"key {key_id} of tenant {old.tenant_id}: {', '.join(changes)}",
            lambda: self._administration.change_key(
                old.tenant_id, key_id, name=name, expires_in=expires_in, requests_per_second=requests_per_second
            ),
        )

    async def revoke_key(self, key_id: str, *, tenant_id: str | None = None) -> Key:
        """End a key now; see :meth:`Administration.revoke_key`."""
        old = await self._key(key_id, tenant_id)
        self.authority.require_revocation(old)
        return await self._recorded(
            "revoke key",
            f"key {key_id} of tenant {old.tenant_id}",
            lambda: self._administration.revoke_key(old.tenant_id, key_id),
            even_unrecorded=True,
        )

    async def create_device(self, tenant_id: str, device_id: str, **details: Unpack[DeviceDetails]) -> NewKey:
        """A new device with its key, which may send no more than whoever makes it; see the method of the same name."""
        event_types = self.authority.event_types
        self.authority.require_tenant(tenant_id)
        self.authority.require_rights(KeyRights(device_id=device_id, event_types=event_types))
        self.authority.require_end(None)
        return await self._recorded(
            "create device",
            f"device {device_id} of tenant {tenant_id}",
            lambda: self._administration.create_device(tenant_id, device_id, event_types=event_types, **details),
            outcome=_key_made,
        )

    async def _require_rate(self, tenant_id: str, requests_per_second: float | None) -> None:
        """Make sure that a key of the tenant may be let send so much.

        Raises:
            NotAllowedError: not by this administrator.
            NotFoundError: there is no such tenant.
        """
        if self.authority.tenants is not None and requests_per_second is not None:
            quota = (await self.tenant(tenant_id)).quota.requests_per_second
            tenants = self._usual_requests_per_second if quota is None else quota
            self.authority.require_rate(requests_per_second, tenants)

    async def _key(self, key_id: str, tenant_id: str | None) -> Key:
        """A key of the given tenant, or of whichever it belongs to.

        Raises:
            NotFoundError: there is none that this administrator may know of.
        """
        if tenant_id is not None:
            self.authority.require_tenant(tenant_id)
            return await self._container.read(Key, key_id, tenant_id=tenant_id)
        found = (await self._container.find([reference := Reference("key", key_id)])).get(reference)
        own = self.authority.tenants
        if not isinstance(found, Key) or (own is not None and found.tenant_id not in own):
            raise NotFoundError(f"there is no key {key_id}: look at the list of keys")
        return found

    async def _recorded(
        self,
        act: Act,
        what: str,
        do: Callable[[], Awaitable[T]],
        *,
        outcome: Callable[[T], str] = lambda _: "done",
        even_unrecorded: bool = False,
    ) -> T:
        async def done() -> T:
            try:
                return await do()
            except NotAnnouncedError as error:
                self.warnings.append(str(error))
                return cast("T", error.changed)

        def unrecorded() -> None:
            self.warnings.append(
                f"this is done ({act}: {what}), but the audit record does not say so, since Redis cannot be reached: "
                "note it elsewhere"
            )

        return await self._audit.around(
            done,
            who=self.authority.who,
            act=act,
            what=what,
            outcome=outcome,
            unrecorded=unrecorded if even_unrecorded else None,
        )


def _end_in(time: timedelta | None) -> datetime | None:
    return None if time is None else datetime.now(UTC) + time


def _key_made(made: NewKey) -> str:
    return f"key {made.record.id} made"


def _described(quota: Quota) -> str:
    texts = [
        f"{value:g} {unit}"
        for value, unit in ((quota.requests_per_second, "requests/s"), (quota.events_per_second, "events/s"))
        if value is not None
    ]
    return f", {' and '.join(texts)}" if texts else ""
