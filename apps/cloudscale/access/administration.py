"""Changes the directory: tenants, keys and devices are made, changed and taken away, and every process hears of it."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, Unpack

import msgspec
import structlog
from msgspec import UNSET, UnsetType
from redis.exceptions import RedisError

from cloudscale.access.new_keys import (
    SENDS_EVENTS,
    KeyRights,
    NewKey,
    NotPossibleError,
    check_name,
    checked,
    lifetime_of,
    new_key,
    rights_of,
)
from cloudscale.access.records import Device, DeviceDetails, Key, Quota, Reference, Tenant
from cloudscale.errors import BackendError, BackendUnavailableError, CloudScaleError, ThrottledError
from cloudscale.store.errors import MissingContainerError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cloudscale.access.container import AccessContainer

log = structlog.get_logger(__name__)

C = TypeVar("C", Tenant, Key, NewKey)

NO_QUOTA = Quota()
LONGEST_OVERLAP = timedelta(days=90)


ANNOUNCE_SECONDS = 2.0
"""How long a change waits until Redis has it."""


class NotAnnouncedError(BackendUnavailableError):
    """A change is made, and the running processes could not be told of it. ``changed`` is what it has made."""

    def __init__(self, message: str, *, changed: Tenant | Key | NewKey) -> None:
        self.changed = changed
        super().__init__(message)


class HalfDoneError(BackendUnavailableError):
    """A part of a change may be made and the store does not answer any more. The message says what to look after."""


class Announcing(Protocol):
    """Tells the processes what has changed, as :class:`cloudscale.access.shared_cache.SharedCache` does."""

    @property
    def tells_later(self) -> bool:
        """Whether it goes on trying when it could not."""
        ...

    async def changed(self, references: Sequence[Reference]) -> str:
        """Note that these have changed; raises ``RedisError`` where Redis does not answer."""
        ...


class EndedKeyError(NotPossibleError):
    """A key cannot be rotated or changed, because it has been revoked."""


class Administration:
    """Makes changes in the store and announces them.

    Every method raises :class:`NotAnnouncedError`, which has the change, when it is made and Redis cannot be told, and
    ``BackendError`` when the store does not do what it should.
    """

    def __init__(self, container: AccessContainer, cache: Announcing) -> None:
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
        return await self._announced(tenant, Reference("tenant", tenant_id), is_new=True)

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
        return await self._announced(changed, Reference("tenant", tenant_id))

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
        made = await self._add_key(tenant_id, name, rights=rights, expires_in=expires_in)
        # A process may remember that there was none with this id.
        return await self._announced(made, Reference("key", made.record.id), is_new=True)

    async def _add_key(self, tenant_id: str, name: str, *, rights: KeyRights, expires_in: timedelta | None) -> NewKey:
        made = new_key(tenant_id, name, rights=rights, expires_in=expires_in)
        try:
            await self._container.create(made.record)
        except (ThrottledError, MissingContainerError):
            raise
        except BackendUnavailableError as error:
            raise HalfDoneError(
                f"the store did not say whether the key {made.record.id} was made, whose text nobody has: revoke it if "
                "it is in the list, and make another"
            ) from error
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
        _require_not_ended(old, "rotate")
        new = await self._add_key(tenant_id, old.name, rights=rights_of(old), expires_in=lifetime_of(old))

        def end(key: Key) -> Key:
            # Somebody else may have revoked or rotated it since it was read; that stands.
            _require_not_ended(key, "rotate")
            return msgspec.structs.replace(key, revoked_at=now + overlap, replaced_by=new.record.id)

        try:
            await self._container.change(Key, key_id, tenant_id=tenant_id, change=end)
        except CloudScaleError as error:
            # Its text was given to nobody.
            await self._take_back(new.record, error)
            raise
        return await self._announced(new, Reference("key", key_id), Reference("key", new.record.id))

    async def _take_back(self, key: Key, reason: CloudScaleError) -> None:
        try:
            await self._end_now(key.tenant_id, key.id)
        except CloudScaleError as error:
            log.warning("a key that nobody has the text of cannot be ended", key=key.id, error=str(error))
            raise HalfDoneError(
                f"the old key holds as before; the key {key.id} was made, nobody has its text, and it cannot be ended "
                "now: revoke it when the store answers"
            ) from reason

    async def change_key(
        self,
        tenant_id: str,
        key_id: str,
        *,
        name: str | UnsetType = UNSET,
        expires_in: timedelta | UnsetType | None = UNSET,
        requests_per_second: float | UnsetType | None = UNSET,
    ) -> Key:
        """Another name, end (counted from now) or limit for a key; what is unset stays.

        Raises:
            NotFoundError: the tenant has no such key.
            EndedKeyError: the key is revoked.
            NotPossibleError: something that is given cannot be used.
        """
        if isinstance(name, str):
            check_name(name)
        ends = _now() + expires_in if isinstance(expires_in, timedelta) else expires_in
        given = {"name": name, "expires_at": ends, "requests_per_second": requests_per_second}
        changes: dict[str, Any] = {field: value for field, value in given.items() if value is not UNSET}

        def change(key: Key) -> Key:
            _require_not_ended(key, "change")
            return checked(msgspec.structs.replace(key, **changes))

        changed = await self._container.change(Key, key_id, tenant_id=tenant_id, change=change)
        return await self._announced(changed, Reference("key", key_id))

    async def revoke_key(self, tenant_id: str, key_id: str) -> Key:
        """End a key now. Done again, it does no harm, and tells the processes again.

        Raises:
            NotFoundError: the tenant has no such key.
        """
        revoked = await self._end_now(tenant_id, key_id)
        return await self._announced(revoked, Reference("key", key_id))

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
        event_types: frozenset[str] | None = None,
        **details: Unpack[DeviceDetails],
    ) -> NewKey:
        """A new device, with a key of its own that sends for this device only, and only the given types of event.

        Raises:
            NotFoundError: there is no such tenant.
            AlreadyExistsError: the device is there already.
            NotPossibleError: something that is given cannot be used.
        """
        await self._container.read(Tenant, tenant_id, tenant_id=tenant_id)
        device = checked(Device(id=device_id, tenant_id=tenant_id, created_at=_now(), **details))
        await self._container.create(device)
        rights = KeyRights(device_id=device_id, event_types=event_types)
        try:
            made = await self._add_key(tenant_id, device_id[:128], rights=rights, expires_in=None)
        except BackendError as error:
            raise HalfDoneError(
                f"the device {device_id} is there and its key may not be, since the store does not answer: revoke what "
                f"is there (cloudscale devices show), and make one with keys create --device {device_id}"
            ) from error
        return await self._announced(made, Reference("key", made.record.id), is_new=True)

    async def _announced(self, changed: C, *references: Reference, is_new: bool = False) -> C:
        """What has been changed, after the running processes were told.

        Raises:
            NotAnnouncedError: they could not be told.
        """
        try:
            async with asyncio.timeout(ANNOUNCE_SECONDS):
                await self._cache.changed(references)
        except (RedisError, OSError) as error:
            problem = str(error) or "it does not answer in time"
            if is_new:
                when = "one that was asked for this before it was there refuses it for up to half a minute"
            elif self._cache.tells_later:
                when = "they notice within a minute while they cannot reach it either, else seconds after it is back"
            else:
                when = (
                    "they notice within a minute while they cannot reach it either, else within two hours; what is "
                    "changed again when Redis is back is noticed within seconds"
                )
            raise NotAnnouncedError(
                "this is done and stored, but the running processes could not be told, since Redis cannot be reached "
                f"({problem}): {when}",
                changed=changed,
            ) from error
        return changed


def _now() -> datetime:
    return datetime.now(UTC)


def _require_not_ended(key: Key, act: str) -> None:
    if key.revoked_at is not None:
        instead = f": {act} {key.replaced_by}, which replaces it" if key.replaced_by else ""
        raise EndedKeyError(f"the key {key.id} is revoked, so there is nothing to {act}{instead}")
