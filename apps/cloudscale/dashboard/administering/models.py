"""What requests that administer say, and what they are answered."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta, structs

from cloudscale.access.new_keys import KeyRights
from cloudscale.access.records import LARGEST_METADATA_KEYS, MOST_EVENT_TYPES, MOST_ORIGINS, Origin, Quota
from cloudscale.access.scopes import Scope
from cloudscale.events.checking import EventId, ShortText, TenantId

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cloudscale.access.new_keys import NewKey
    from cloudscale.access.records import DeviceDetails, Key, Tenant

LONGEST_LIFE: Final = timedelta(days=3650)
LONGEST_OVERLAP_SECONDS: Final = 90 * 24 * 3600
USUAL_OVERLAP_SECONDS: Final = 24 * 3600

Rate = Annotated[float, Meta(gt=0, le=1_000_000)]
EventRate = Annotated[float, Meta(gt=0, le=1_000_000_000)]
Lifetime = Annotated[int, Meta(ge=1, le=round(LONGEST_LIFE.total_seconds()))]
State = Literal["active", "ending", "revoked", "expired"]


class GivenQuota(msgspec.Struct, frozen=True, rename="camel", kw_only=True, forbid_unknown_fields=True):
    """A tenant's quota in a second; null for what the pipeline says for every tenant."""

    requests_per_second: Rate | None = None
    events_per_second: EventRate | None = None

    @property
    def quota(self) -> Quota:
        """As the directory keeps it."""
        return Quota(requests_per_second=self.requests_per_second, events_per_second=self.events_per_second)


class NewTenant(msgspec.Struct, frozen=True, rename="camel", kw_only=True, forbid_unknown_fields=True):
    """A tenant to create."""

    id: TenantId
    quota: GivenQuota = GivenQuota()


class TenantChange(msgspec.Struct, frozen=True, rename="camel", kw_only=True, forbid_unknown_fields=True):
    """What to change of a tenant; what is not given stays. A quota replaces the former one as a whole."""

    quota: GivenQuota | msgspec.UnsetType = msgspec.UNSET
    disabled: bool | msgspec.UnsetType = msgspec.UNSET


class WantedKey(msgspec.Struct, frozen=True, rename="camel", kw_only=True, forbid_unknown_fields=True):
    """A key to create. The tenant may be left out by who administers one only."""

    name: ShortText
    tenant_id: TenantId | None = None
    scopes: Annotated[frozenset[Scope], Meta(min_length=1)] = frozenset({Scope.WRITE_EVENTS})
    expires_in_seconds: Lifetime | None = None
    """Null for a key without an end."""
    event_types: Annotated[frozenset[ShortText], Meta(min_length=1, max_length=MOST_EVENT_TYPES)] | None = None
    device_id: EventId | None = None
    is_server: bool = False
    origins: Annotated[frozenset[Origin], Meta(min_length=1, max_length=MOST_ORIGINS)] | None = None
    requests_per_second: Rate | None = None
    """Null for what the pipeline says for every key."""

    @property
    def rights(self) -> KeyRights:
        """What the key may do."""
        return KeyRights(
            scopes=self.scopes,
            event_types=self.event_types,
            device_id=self.device_id,
            is_server=self.is_server,
            origins=self.origins,
            requests_per_second=self.requests_per_second,
        )

    @property
    def expires_in(self) -> timedelta | None:
        """How long it holds."""
        return None if self.expires_in_seconds is None else timedelta(seconds=self.expires_in_seconds)


class WantedDevice(msgspec.Struct, frozen=True, rename="camel", kw_only=True, forbid_unknown_fields=True):
    """A device to create. The tenant may be left out by who administers one only."""

    id: EventId
    tenant_id: TenantId | None = None
    type: ShortText | None = None
    model: ShortText | None = None
    metadata: Annotated[dict[str, Any], Meta(max_length=LARGEST_METADATA_KEYS)] = {}

    @property
    def details(self) -> DeviceDetails:
        """What is said of it."""
        return {"type": self.type, "model": self.model, "metadata": self.metadata}


class KeyChange(msgspec.Struct, frozen=True, rename="camel", kw_only=True, forbid_unknown_fields=True):
    """What to change of a key; what is not given stays."""

    name: ShortText | msgspec.UnsetType = msgspec.UNSET
    expires_in_seconds: Lifetime | msgspec.UnsetType | None = msgspec.UNSET
    """From now; null for a key without an end."""
    requests_per_second: Rate | msgspec.UnsetType | None = msgspec.UNSET
    """Null for what the pipeline says for every key."""

    @property
    def expires_in(self) -> timedelta | msgspec.UnsetType | None:
        """How long it holds from now."""
        given = self.expires_in_seconds
        return timedelta(seconds=given) if isinstance(given, int) else given


class Rotation(msgspec.Struct, frozen=True, rename="camel", kw_only=True, forbid_unknown_fields=True):
    """How long the old key still holds."""

    overlap_seconds: Annotated[int, Meta(ge=0, le=LONGEST_OVERLAP_SECONDS)] = USUAL_OVERLAP_SECONDS


class ShownTenant(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """A tenant."""

    id: str
    created_at: datetime
    disabled: bool
    quota: Quota


class ChangedTenant(ShownTenant, frozen=True, rename="camel", kw_only=True):
    """A tenant that has just been made or changed."""

    warnings: list[str]
    """What did not go with the change, such as that it is not recorded or noticed late; mostly empty."""


class TenantPage(msgspec.Struct, frozen=True):
    """A page of tenants. ``next`` is the cursor of the page that follows, null when there is none."""

    tenants: list[ShownTenant]
    next: str | None


class ShownKey(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """An API key without its secret."""

    id: str
    tenant_id: str
    name: str
    scopes: list[Scope]
    state: State
    """ending: it is replaced and holds until revokedAt."""
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None
    """Up to a minute late; null for a key that was not seen in use."""
    revoked_at: datetime | None
    replaced_by: str | None
    event_types: list[str] | None
    device_id: str | None
    is_server: bool
    origins: list[str] | None
    requests_per_second: float | None
    """What it may send for long; null for what the pipeline says for every key."""


class KeyPage(msgspec.Struct, frozen=True, rename="camel"):
    """A page of keys. ``next`` is the cursor of the page that follows, null when there is none."""

    keys: list[ShownKey]
    next: str | None
    last_use_known: bool
    """false while nobody can say when keys were last used, so that each lastUsedAt is null."""


class ChangedKey(ShownKey, frozen=True, rename="camel", kw_only=True):
    """A key that has just been made, changed or ended."""

    warnings: list[str]
    """What did not go with the change, such as that it is not recorded or noticed late; mostly empty."""


class MadeKey(ChangedKey, frozen=True, rename="camel", kw_only=True):
    """A key that has just been made. ``key`` is what its owner sends; it is told this once."""

    key: str

    def __repr__(self) -> str:
        """Without the secret, so that no traceback and no log line holds it."""
        return f"MadeKey(id={self.id!r})"


def shown_tenant(tenant: Tenant) -> ShownTenant:
    """A tenant as it is shown."""
    return ShownTenant(id=tenant.id, created_at=tenant.created_at, disabled=tenant.disabled, quota=tenant.quota)


def shown_key(key: Key, *, now: datetime, last_used_at: datetime | None = None) -> ShownKey:
    """A key as it is shown."""
    return ShownKey(
        id=key.id,
        tenant_id=key.tenant_id,
        name=key.name,
        scopes=sorted(key.scopes),
        state=_state_of(key, now),
        created_at=key.created_at,
        expires_at=key.expires_at,
        last_used_at=last_used_at,
        revoked_at=key.revoked_at,
        replaced_by=key.replaced_by,
        event_types=None if key.event_types is None else sorted(key.event_types),
        device_id=key.device_id,
        is_server=key.is_server,
        origins=None if key.origins is None else sorted(key.origins),
        requests_per_second=key.requests_per_second,
    )


def changed_tenant(tenant: Tenant, *, warnings: Sequence[str]) -> ChangedTenant:
    """A tenant as it is shown to who has changed it."""
    return ChangedTenant(**structs.asdict(shown_tenant(tenant)), warnings=[*warnings])


def changed_key(
    key: Key, *, now: datetime, warnings: Sequence[str], last_used_at: datetime | None = None
) -> ChangedKey:
    """A key as it is shown to who has changed it."""
    return ChangedKey(**structs.asdict(shown_key(key, now=now, last_used_at=last_used_at)), warnings=[*warnings])


def made_key(made: NewKey, *, now: datetime, warnings: Sequence[str]) -> MadeKey:
    """A new key with its secret."""
    return MadeKey(**structs.asdict(changed_key(made.record, now=now, warnings=warnings)), key=made.text)


def _state_of(key: Key, now: datetime) -> State:
    if key.revoked_at is not None and key.revoked_at <= now:
        return "revoked"
    if key.expires_at is not None and key.expires_at <= now:
        return "expired"
    return "active" if key.revoked_at is None else "ending"
