"""What the directory keeps: tenants, keys and devices, as documents of one container, partitioned by tenant."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal, NamedTuple, TypedDict

import msgspec
from msgspec import Meta

from cloudscale.access.scopes import Scope
from cloudscale.events.checking import EventId, ShortText, TenantId

MOST_ORIGINS = 50
MOST_EVENT_TYPES = 100
LARGEST_METADATA_KEYS = 64

KeyId = Annotated[str, Meta(pattern=r"^[0-9A-Za-z]{12}\Z")]
Origin = Annotated[str, Meta(pattern=r"^https?://[a-z0-9.:\[\]-]+\Z", max_length=255)]
"""As a browser sends it (RFC 6454, section 6.2): scheme, host in lower case, and a port unless it is the
scheme's own."""


RequestsPerSecond = Annotated[float, Meta(gt=0, le=1_000_000)]


class Quota(msgspec.Struct, frozen=True, rename="camel", kw_only=True, gc=False):
    """What one tenant may send for long, in a second; None for what the resource says for every tenant."""

    requests_per_second: RequestsPerSecond | None = None
    events_per_second: Annotated[float, Meta(gt=0, le=1_000_000_000)] | None = None


class Tenant(msgspec.Struct, frozen=True, rename="camel", kw_only=True, tag_field="kind", tag="tenant"):
    """A tenant that may send. ``disabled`` takes all of its keys and tokens their rights at once."""

    id: TenantId
    created_at: datetime
    quota: Quota = Quota()
    disabled: bool = False


class Key(msgspec.Struct, frozen=True, rename="camel", kw_only=True, tag_field="kind", tag="key"):
    """An API key, without its secret."""

    id: KeyId
    tenant_id: TenantId
    name: ShortText
    digest: str
    """SHA-256 of the secret, in hexadecimal; see :mod:`cloudscale.access.api_key`."""
    scopes: Annotated[frozenset[Scope], Meta(min_length=1)]
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    """When it stops to hold; in the future while a key that replaces it is brought to its users."""
    replaced_by: KeyId | None = None
    event_types: Annotated[frozenset[ShortText], Meta(min_length=1, max_length=MOST_EVENT_TYPES)] | None = None
    device_id: EventId | None = None
    is_server: bool = False
    origins: Annotated[frozenset[Origin], Meta(min_length=1, max_length=MOST_ORIGINS)] | None = None
    requests_per_second: RequestsPerSecond | None = None
    """What it may send for long; None for what the resource says for every key."""


class Device(msgspec.Struct, frozen=True, rename="camel", kw_only=True, tag_field="kind", tag="device"):
    """A device that sends events of its own."""

    id: EventId
    tenant_id: TenantId
    created_at: datetime
    type: ShortText | None = None
    model: ShortText | None = None
    metadata: Annotated[dict[str, Any], Meta(max_length=LARGEST_METADATA_KEYS)] = {}
    first_seen_at: datetime | None = None
    """When it first sent. The dashboard writes it down, since Redis forgets: ingestion may not write here."""


class DeviceDetails(TypedDict, total=False):
    """What is said of a device when it is created."""

    type: str | None
    model: str | None
    metadata: dict[str, Any]


Record = Tenant | Key | Device


class Reference(NamedTuple):
    """What names a tenant, or a key, without saying whose it is."""

    kind: Literal["tenant", "key"]
    id: str
