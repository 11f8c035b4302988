"""Changes the directory: tenants, keys and devices are made, changed and taken away, and every process hears of it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import msgspec
from redis.exceptions import RedisError

from cloudscale.access.new_keys import (
    SENDS_EVENTS,
    KeyRights,
    NewKey,
    NotPossibleError,
    checked,
    new_key,
    rights_of,
)
from cloudscale.access.records import Device, Key, Quota, Reference, Tenant
from cloudscale.errors import BackendUnavailableError

if TYPE_CHECKING:
    from cloudscale.access.container import AccessContainer
    from cloudscale.access.shared_cache import SharedCache

NO_QUOTA = Quota()
LONGEST_OVERLAP = timedelta(days=90)


class NotAnnouncedError(BackendUnavailableError):
    """A change is made, and the running processes could not be told of it."""


class EndedKeyError(NotPossibleError):
    """A key cannot be rotated, because it has been revoked."""


class Administration:
    """Makes changes in the store and announces them.

    Every method raises :class:`NotAnnouncedError` when the change is made and Redis cannot be told, and
    ``BackendError`` when the store does not do what it should.
    """

    def __init__(self, container: AccessContainer, cache: SharedCache) -> None:
        self._container = container
        self._cache = cache

    async def create_tenant(self, tenant_id: str, *, quota: Quota = NO_QUOTA) -> Tenant:
        """A new tenant.

        Raises:
            NotPossibleError: it cannot be called that.
            AlreadyExistsError: it is there already.
        """
        tenant = checked(Tenant(id=tenant_id, created_at=_now(), quota=quota))
        await self._container.ensure()
        await self._container.create(tenant)
        await self._announce(Reference("tenant", tenant_id))
        return tenant

    async def change_tenant(
        self, tenant_id: str, *, quota: Quota | None = None, disabled: bool | None = None
    ) -> Tenant:
        """Give a tenant another quota, or take its right to send, or give it back; None leaves what is.

        Raises:
            NotFoundError: there is no such tenant.
        """

        def change(tenant: Tenant) -> Tenant:
            changes: dict[str, Any] = {"quota": quota, "disabled": disabled}
            return checked(msgspec.structs.replace(tenant, **{k: v for k, v in changes.items() if v is not None}))

        changed = await self._container.change(Tenant, tenant_id, tenant_id=tenant_id, change=change)
        await self._announce(Reference("tenant", tenant_id))
        return changed

    async def create_key(
        self, tenant_id: str, name: str, *, rights: KeyRights = SENDS_EVENTS, expires_in: timedelta | None = None
    ) -> NewKey:
        """A new key of a tenant; ``expires_in`` is None for a key without an end.

        Raises:
            NotFoundError: there is no such tenant, or no such device.
            NotPossibleError: something that is given cannot be used.
        """
        await self._container.read(Tenant, tenant_id, tenant_id=tenant_id)
        if rights.device_id is not None:
            await self._container.read(Device, rights.device_id, tenant_id=tenant_id)
        return await self._add_key(tenant_id, name, rights=rights, expires_in=expires_in)

    async def _add_key(self, tenant_id: str, name: str, *, rights: KeyRights, expires_in: timedelta | None) -> NewKey:
        made = new_key(tenant_id, name, rights=rights, expires_in=expires_in)
        await self._container.create(made.record)
        # A process may remember that there was none with this id.
        await self._announce(Reference("key", made.record.id))
        return made

    async def rotate_key(self, tenant_id: str, key_id: str, *, overlap: timedelta) -> NewKey:
        """A new key with the rights of another, which ends after ``overlap``; so its users have time to take the new.

        Raises:
            NotFoundError: the tenant has no such key.
            EndedKeyError: the key is revoked.
            NotPossibleError: the overlap is too long.
        """
        if not timedelta(0) <= overlap <= LONGEST_OVERLAP:
            raise NotPossibleError(f"an overlap lies between 0 and {LONGEST_OVERLAP.days} days")
        old = await self._container.read(Key, key_id, tenant_id=tenant_id)
        now = _now()
        _require_not_ended(old)
        lifetime = None if old.expires_at is None else old.expires_at - old.created_at
        new = await self._add_key(tenant_id, old.name, rights=rights_of(old), expires_in=lifetime)

        def end(key: Key) -> Key:
            # Somebody else may have revoked or rotated it since it was read; that stands.
            _require_not_ended(key)
            return msgspec.structs.replace(key, revoked_at=now + overlap, replaced_by=new.record.id)

        try:
            await self._container.change(Key, key_id, tenant_id=tenant_id, change=end)
        except EndedKeyError:
            # No process can know the new key: its text was given to nobody.
            await self._end_now(tenant_id, new.record.id)
            raise
        await self._announce(Reference("key", key_id))
        return new

    async def revoke_key(self, tenant_id: str, key_id: str) -> Key:
        """End a key now. Done again, it does no harm, and tells the processes again.

        Raises:
            NotFoundError: the tenant has no such key.
        """
        revoked = await self._end_now(tenant_id, key_id)
        await self._announce(Reference("key", key_id))
        return revoked

    async def _end_now(self, tenant_id: str, key_id: str) -> Key:
        now = _now()

        def end(key: Key) -> Key:
            ends = now if key.revoked_at is None else min(now, key.revoked_at)
            return msgspec.structs.replace(key, revoked_at=ends)

        return await self._container.change(Key, key_id, tenant_id=tenant_id, change=end)

    async def create_device(
        self,
        tenant_id: str,
        device_id: str,
        *,
        type: str | None = None,  # noqa: A002 - the field's name
        model: str | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> NewKey:
        """A new device, with a key of its own that sends for this device only.

        Raises:
            NotFoundError: there is no such tenant.
            AlreadyExistsError: the device is there already.
            NotPossibleError: something that is given cannot be used.
        """
        await self._container.read(Tenant, tenant_id, tenant_id=tenant_id)
        device = checked(
            Device(
                id=device_id, tenant_id=tenant_id, created_at=_now(), type=type, model=model, metadata=metadata or {}
            )
        )
        await self._container.create(device)
        rights = KeyRights(device_id=device_id)
        return await self._add_key(tenant_id, device_id[:128], rights=rights, expires_in=None)

    async def _announce(self, *references: Reference) -> None:
        try:
            await self._cache.changed(references)
        except (RedisError, OSError, TimeoutError) as error:
            raise NotAnnouncedError(
                f"it is done, but the running processes could not be told, since Redis cannot be reached ({error}); "
                "they notice within a minute if they cannot reach it either, else within an hour: "
                "do it again when Redis is back"
            ) from error


def _now() -> datetime:
    return datetime.now(UTC)


def _require_not_ended(key: Key) -> None:
    if key.revoked_at is not None:
        instead = f": rotate {key.replaced_by}, which replaces it" if key.replaced_by else ""
        raise EndedKeyError(f"the key {key.id} is revoked, so there is nothing to rotate{instead}")
